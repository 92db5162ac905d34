package dev.kvshare.cli.options;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.CacheSettings;
import dev.kvshare.apply.cache.TokenAmount;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/** What layers that own a cache keep of it. */
public class CachePolicyOptions {
  /** Scales of integers. */
  enum Scales {
    TOKEN,
    CHANNEL
  }

  /** How H2O adds up attention. */
  enum Scores {
    SUM,
    MEAN
  }

  @Everyday
  @Option(names = "--cache", paramLabel = "NAME", split = ",", hideParamSyntax = true)
  List<String> names = new ArrayList<>();

  @Everyday
  @Option(names = "--cache-budget", paramLabel = "AMOUNT", converter = Converters.Tokens.class)
  TokenAmount budget;

  @Option(names = "--cache-sinks", paramLabel = "N")
  Integer sinks;

  @Option(names = "--cache-recent", paramLabel = "AMOUNT", converter = Converters.Tokens.class)
  TokenAmount recent;

  @Option(names = "--cache-scores", paramLabel = "NAME")
  Scores scores;

  @Option(names = "--cache-window", paramLabel = "N", converter = Converters.Positive.class)
  Integer window;

  @Option(names = "--cache-kernel", paramLabel = "N", converter = Converters.Positive.class)
  Integer kernel;

  @Option(names = "--cache-steepness", paramLabel = "X")
  Double steepness;

  @Option(names = "--cache-scales", paramLabel = "NAME")
  Scales scales;

  /**
   * The policies that are asked for, in their order.
   *
   * @throws IllegalArgumentException with what is wrong
   */
  public final List<CachePolicy> policies() {
    CacheSettings settings =
        new CacheSettings(
            budget,
            sinks,
            recent,
            scores == null ? null : scores == Scores.MEAN,
            window,
            kernel,
            steepness,
            scales == null ? null : scales == Scales.CHANNEL);
    return settings.policies(names);
  }
}
