package dev.kvshare.apply.generate;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.model.MemorySize;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
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
   * What it cost in words: lines under names, in the order to print them.
   *
   * @param cachePolicyOrNull the cache policy that it ran with
   */
  public Map<String, List<String>> facts(CachePolicy cachePolicyOrNull) {
    Map<String, List<String>> facts = new LinkedHashMap<>();
    facts.put("prompt", List.of(speed(stats.promptTokens(), stats.prefillTokensPerSecond())));
    double decoding = stats.decodeTokensPerSecond(completions.size());
    facts.put("decoding", List.of(speed(stats.newTokens(), decoding)));
    facts.put(
        "KV cache",
        List.of(
            "%d bytes a token, %s allocated"
                    .formatted(stats.kvBytesPerToken(), MemorySize.text(stats.kvBytesAllocated()))
                + (stats.kvBytesMost() > stats.kvBytesAllocated()
                    ? ", at most " + MemorySize.text(stats.kvBytesMost())
                    : "")));
    if (cachePolicyOrNull != null) {
      facts.put(
          "cache policy",
          List.of(
              cachePolicyOrNull.description(),
              String.format(
                  Locale.ROOT,
                  "with sharing %.1f %% of the %s that all layers and tokens would take",
                  100.0 * stats.kvBytesAllocated() / stats.kvBytesOfWholeModel(),
                  MemorySize.text(stats.kvBytesOfWholeModel()))));
    }
    stats
        .peakResidentBytes()
        .ifPresent(
            bytes -> facts.put("peak memory", List.of(MemorySize.text(bytes) + " of the process")));
    return facts;
  }

  private static String speed(long tokens, double tokensPerSecond) {
    return String.format(Locale.ROOT, "%d tokens, %.1f tokens/s", tokens, tokensPerSecond);
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

    /** Whether it ended because the model has no further position. */
    public boolean reachedLastPosition() {
      return finishReason == FinishReason.MAX_POSITIONS;
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
   * @param kvBytesMost the most bytes of keys and values that were there at once
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
      long kvBytesMost,
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
