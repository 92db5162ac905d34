package dev.kvshare.apply.generate;

import dev.kvshare.apply.cache.CachePolicy;
import java.util.List;
import java.util.Objects;

/**
 * What to generate.
 *
 * @param prompts one row each; lengths may differ
 * @param maxNewTokens the most tokens to generate for a row, at least 1
 * @param sampling how tokens are chosen
 * @param stopStrings texts that end a row; the row's text is cut before them
 * @param ignoreEos whether to go on behind the model's end tokens, which are then never chosen
 * @param cachePolicy what layers keep of their keys and values, null for everything
 */
public record GenerationRequest(
    List<Prompt> prompts,
    int maxNewTokens,
    SamplingOptions sampling,
    List<String> stopStrings,
    boolean ignoreEos,
    CachePolicy cachePolicy) {

  public static final int DEFAULT_MAX_NEW_TOKENS = 128;

  public GenerationRequest {
    prompts = List.copyOf(prompts);
    stopStrings = List.copyOf(stopStrings);
    Objects.requireNonNull(sampling, "sampling");
    if (prompts.isEmpty()) {
      throw new IllegalArgumentException("A generation request needs at least one prompt.");
    }
    if (maxNewTokens < 1) {
      throw new IllegalArgumentException(
          "The number of new tokens is " + maxNewTokens + " but must be at least 1.");
    }
    if (stopStrings.contains("")) {
      throw new IllegalArgumentException(
          "A stop string is empty and would end every text at once: leave it out.");
    }
  }

  /** Greedy continuation of the prompts with the default limits. */
  public static GenerationRequest of(Prompt... prompts) {
    return new GenerationRequest(
        List.of(prompts), DEFAULT_MAX_NEW_TOKENS, SamplingOptions.GREEDY, List.of(), false, null);
  }

  public GenerationRequest withPrompts(List<Prompt> value) {
    return new GenerationRequest(
        value, maxNewTokens, sampling, stopStrings, ignoreEos, cachePolicy);
  }

  public GenerationRequest withMaxNewTokens(int value) {
    return new GenerationRequest(prompts, value, sampling, stopStrings, ignoreEos, cachePolicy);
  }

  public GenerationRequest withSampling(SamplingOptions value) {
    return new GenerationRequest(prompts, maxNewTokens, value, stopStrings, ignoreEos, cachePolicy);
  }

  public GenerationRequest withStopStrings(List<String> value) {
    return new GenerationRequest(prompts, maxNewTokens, sampling, value, ignoreEos, cachePolicy);
  }

  public GenerationRequest withIgnoreEos(boolean value) {
    return new GenerationRequest(prompts, maxNewTokens, sampling, stopStrings, value, cachePolicy);
  }

  public GenerationRequest withCachePolicy(CachePolicy value) {
    return new GenerationRequest(prompts, maxNewTokens, sampling, stopStrings, ignoreEos, value);
  }

  /**
   * A generation that cannot be done: the message says what of the request does not fit the model.
   */
  public static class GenerationException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public GenerationException(String message) {
      super(message);
    }
  }
}
