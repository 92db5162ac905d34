package dev.kvshare.apply;

import dev.kvshare.policy.Policy;
import dev.kvshare.policy.PolicyMismatchException;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What of a policy this release runs; everything that runs one asks here first. */
public final class PolicySupport {
  private static final Logger LOGGER = LoggerFactory.getLogger(PolicySupport.class);

  private PolicySupport() {}

  /**
   * Refuses what would compute something else than the policy says, and warns of what is lost.
   *
   * @param file where the policy was read from
   * @throws PolicyMismatchException if the policy restricts layers to a window
   */
  public static void require(Policy policy, Path file) {
    if (policy.slidingWindow() != null && !policy.windowedLayers().isEmpty()) {
      throw new PolicyMismatchException(
          "%s restricts the layers %s to a window of %d tokens, which this release does not run. Use a policy without 'sliding_window'."
              .formatted(file, policy.windowedLayers(), policy.slidingWindow()));
    }
    if (policy.repair() != null) {
      LOGGER.warn(
          "{} was made with refitted weights in {}, which are not applied: the quality is that of plain sharing.",
          file,
          policy.repair().file());
    }
  }
}
