package dev.kvshare.cli;

import dev.kvshare.apply.GenerationResult;
import dev.kvshare.apply.GenerationStats;
import java.util.Locale;

/** What {@code apply --stats} prints. */
final class GenerationFacts {
  private GenerationFacts() {}

  static Facts of(GenerationResult result) {
    GenerationStats stats = result.stats();
    Facts facts =
        new Facts()
            .add("prompt", speed(stats.promptTokens(), stats.prefillTokensPerSecond()))
            .add(
                "decoding",
                speed(stats.newTokens(), stats.decodeTokensPerSecond(result.completions().size())))
            .add(
                "KV cache",
                String.format(
                    Locale.ROOT,
                    "%d bytes a token, %s allocated",
                    stats.kvBytesPerToken(),
                    MemorySize.text(stats.kvBytesAllocated())));
    stats
        .peakResidentBytes()
        .ifPresent(bytes -> facts.add("peak memory", MemorySize.text(bytes) + " of the process"));
    return facts;
  }

  private static String speed(long tokens, double tokensPerSecond) {
    return String.format(Locale.ROOT, "%d tokens, %.1f tokens/s", tokens, tokensPerSecond);
  }
}
