package dev.kvshare.eval.check;

import dev.kvshare.apply.plan.Plan;
import java.nio.file.Path;
import java.util.List;

/**
 * What to compare with stored outputs.
 *
 * @param file a safetensors file with {@code input_ids} int64 [B, T] or [T] and outputs
 * @param plan which keys and values each layer sees
 * @param inputIds token ids of one sequence to run instead of the file's; empty for the file's
 * @param tensor the name of the stored logits, usually {@code logits}
 * @param prefillTokens tokens run at once at the start, the rest one by one; 0 runs all at once
 * @param tolerance largest absolute difference that passes
 */
public record CheckRequest(
    Path file,
    Plan plan,
    List<Integer> inputIds,
    String tensor,
    int prefillTokens,
    double tolerance) {
  /** The name under which the logits are stored unless told otherwise. */
  public static final String LOGITS = "logits";

  /** The tolerance for float32. */
  public static final double DEFAULT_TOLERANCE = 2e-4;

  /** The same where sources lie above their readers: each pass amplifies rounding. */
  public static final double UPWARD_TOLERANCE = 1e-2;

  /** Copies the list and refuses values without meaning. */
  public CheckRequest {
    inputIds = List.copyOf(inputIds);
    if (prefillTokens < 0 || !(tolerance >= 0)) {
      throw new IllegalArgumentException(
          "prefill tokens and tolerance must not be negative, found %d and %s"
              .formatted(prefillTokens, tolerance));
    }
  }
}
