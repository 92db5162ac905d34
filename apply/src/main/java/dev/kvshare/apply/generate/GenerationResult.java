package dev.kvshare.apply.generate;

import java.util.List;
import java.util.Objects;

/**
 * What a generation gave.
 *
 * @param completions one for each prompt, in the order of the request
 * @param stats what it cost
 */
public record GenerationResult(List<Completion> completions, GenerationStats stats) {
  public GenerationResult {
    completions = List.copyOf(completions);
    Objects.requireNonNull(stats, "stats");
  }
}
