package dev.kvshare.cli.print;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.generate.GenerationResult;
import dev.kvshare.apply.generate.GenerationStats;
import dev.kvshare.cli.options.MemorySize;
import java.util.Locale;

/** What {@code apply --stats} prints. */
public final class GenerationFacts {
  private GenerationFacts() {}

  /** Facts of a generation; the cache policy may be null. */
  public static Facts of(GenerationResult result, CachePolicy cachePolicy) {
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
    if (cachePolicy != null) {
      facts.add(
          "cache policy",
          cachePolicy.description(),
          String.format(
              Locale.ROOT,
              "with sharing %.1f %% of the %s that all layers and tokens would take",
              100.0 * stats.kvBytesAllocated() / stats.kvBytesOfWholeModel(),
              MemorySize.text(stats.kvBytesOfWholeModel())));
    }
    stats
        .peakResidentBytes()
        .ifPresent(bytes -> facts.add("peak memory", MemorySize.text(bytes) + " of the process"));
    return facts;
  }

  private static String speed(long tokens, double tokensPerSecond) {
    return String.format(Locale.ROOT, "%d tokens, %.1f tokens/s", tokens, tokensPerSecond);
  }
}
