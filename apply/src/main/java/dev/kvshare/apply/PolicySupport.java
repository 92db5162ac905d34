package dev.kvshare.apply;

import dev.kvshare.policy.Policy;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What of a policy this release runs; everything that runs one asks here first. */
public final class PolicySupport {
  private static final Logger LOGGER = LoggerFactory.getLogger(PolicySupport.class);

  private PolicySupport() {}

  /**
   * Warns of what is lost.
   *
   * @param file where the policy was read from
   */
  public static void require(Policy policy, Path file) {
    if (policy.repair() != null) {
      LOGGER.warn(
          "{} was made with refitted weights in {}, which are not applied: the quality is that of plain sharing.",
          file,
          policy.repair().file());
    }
  }
}
