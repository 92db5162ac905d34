package dev.kvshare.apply.generate;

import java.util.List;
import java.util.Objects;
import java.util.OptionalLong;

/**
 * What a generation gave.
 *
 * @param completions one for each prompt, in the order of the request
 * @param stats what it cost
 */
public record GenerationResult(List<Completion> completions, Stats stats) {
  public GenerationResult {
    completions = List.copyOf(completions);
    Objects.requireNonNull(stats, "stats");
  }

  /**
   * The continuation of one prompt.
   *
   * @param promptIds the prompt as token ids, with any special tokens that were added
   * @param ids the new token ids, an end token included
   * @param text the new text, without special tokens and cut before a stop string; empty when the
   *     model has no tokenizer
   * @param finishReason why it ended
   */
  public record Completion(
      List<Integer> promptIds, List<Integer> ids, String text, FinishReason finishReason) {
    public Completion {
      promptIds = List.copyOf(promptIds);
      ids = List.copyOf(ids);
      Objects.requireNonNull(text, "text");
      Objects.requireNonNull(finishReason, "finishReason");
    }
  }

  /** Why a row of a generation ended. */
  public enum FinishReason {
    /** The model chose an end token. */
    END_TOKEN,
    /** A stop string appeared in the text. */
    STOP_STRING,
    /** The wanted number of new tokens was reached. */
    MAX_NEW_TOKENS,
    /** The model's last position was reached. */
    MAX_POSITIONS,
    /** The listener asked to stop, or the thread was interrupted. */
    STOPPED
  }

  /**
   * What a generation cost.
   *
   * @param promptTokens tokens of all prompts
   * @param newTokens tokens generated in all rows
   * @param prefillNanos time until the logits of the last prompt token were there
   * @param decodeNanos time of all decoding steps after that, with choosing and decoding to text
   * @param kvBytesPerToken bytes of KV cache that one more token of one row takes, once the windows
   *     of the policy are full
   * @param kvBytesAllocated bytes of KV cache allocated at the end, for all rows
   * @param kvBytesOfWholeModel bytes that keys and values of all layers and all tokens would take,
   *     without sharing and without a cache policy
   * @param peakResidentBytes highest resident memory of the process so far, where the system tells
   */
  public record Stats(
      long promptTokens,
      long newTokens,
      long prefillNanos,
      long decodeNanos,
      long kvBytesPerToken,
      long kvBytesAllocated,
      long kvBytesOfWholeModel,
      OptionalLong peakResidentBytes) {

    /** Prompt tokens per second of prefill. */
    public double prefillTokensPerSecond() {
      return perSecond(promptTokens, prefillNanos);
    }

    /**
     * New tokens per second of decoding, all rows together. The first token of each row comes out
     * of the prefill and is not counted.
     */
    public double decodeTokensPerSecond(int rows) {
      return perSecond(Math.max(0, newTokens - rows), decodeNanos);
    }

    private static double perSecond(long tokens, long nanos) {
      return nanos == 0 ? 0 : tokens * 1e9 / nanos;
    }
  }
}
