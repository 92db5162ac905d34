package dev.kvshare.cli.options;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.cache.CacheSettings;
import dev.kvshare.apply.cache.TokenAmount;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import picocli.CommandLine.Option;

/** What layers that own a cache keep of it. */
public class CachePolicyOptions {
  /** Scales of 8-bit numbers. */
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
  @Option(
      names = "--cache",
      paramLabel = "NAME",
      split = ",",
      hideParamSyntax = true,
      description = {
        "Keep part of each cache: streaming-llm, h2o, snapkv, pyramid, int8; h2o+int8 and so on.",
        "streaming-llm (StreamingLLM): first tokens and a window of last ones; texts of any length. h2o (H2O): heavy hitters and recent tokens. snapkv (SnapKV): what the end of the prompt attends to. pyramid (PyramidKV, PyramidInfer): budgets that decrease over the layers. int8: 8-bit keys and values, as in KIVI. Default: everything is kept."
      })
  List<String> names = new ArrayList<>();

  @Everyday
  @Option(
      names = "--cache-budget",
      paramLabel = "AMOUNT",
      converter = Converters.Tokens.class,
      description = {
        "Tokens that a layer keeps: 256, or a part of the prompt as 25%%. Default: 50%%.",
        "For streaming-llm the default is 256 tokens."
      })
  TokenAmount budget;

  @Option(
      names = "--cache-sinks",
      paramLabel = "N",
      description = "First tokens that streaming-llm keeps within the budget. Default: 4.")
  Integer sinks;

  @Option(
      names = "--cache-recent",
      paramLabel = "AMOUNT",
      converter = Converters.Tokens.class,
      description = "Last tokens that h2o keeps: a number, or a part of the budget. Default: 50%%.")
  TokenAmount recent;

  @Option(
      names = "--cache-scores",
      paramLabel = "NAME",
      description = "How h2o adds up attention over queries: sum or mean. Default: sum.")
  Scores scores;

  @Option(
      names = "--cache-window",
      paramLabel = "N",
      converter = Converters.Positive.class,
      description =
          "Last tokens of the prompt that choose for snapkv and pyramid, and stay. Default: 32.")
  Integer window;

  @Option(
      names = "--cache-kernel",
      paramLabel = "N",
      converter = Converters.Positive.class,
      description = "Neighbours that snapkv and pyramid choose together, odd. Default: 5.")
  Integer kernel;

  @Option(
      names = "--cache-steepness",
      paramLabel = "X",
      description =
          "How many times the budget of pyramid's top layer goes into the mean. Default: 20.")
  Double steepness;

  @Option(
      names = "--cache-scales",
      paramLabel = "NAME",
      description =
          "int8: a scale for each token, or for each channel of 32 keys: token or channel. Default: token.")
  Scales scales;

  /**
   * The policies that are asked for, in their order.
   *
   * @throws IllegalArgumentException with what is wrong
   */
  public final List<CachePolicy> policies() {
    requireUse("--cache-budget", budget, "streaming-llm", "h2o", "snapkv", "pyramid");
    requireUse("--cache-sinks", sinks, "streaming-llm");
    requireUse("--cache-recent", recent, "h2o");
    requireUse("--cache-scores", scores, "h2o");
    requireUse("--cache-window", window, "snapkv", "pyramid");
    requireUse("--cache-kernel", kernel, "snapkv", "pyramid");
    requireUse("--cache-steepness", steepness, "pyramid");
    requireUse("--cache-scales", scales, "int8");
    CacheSettings settings =
        new CacheSettings(
            budget,
            sinks,
            recent,
            scores == null ? null : scores == Scores.MEAN,
            window,
            kernel,
            steepness,
            scales == Scales.CHANNEL ? KeyValueFormat.INT8_PER_CHANNEL : null);
    return names.stream().map(settings::policy).toList();
  }

  private void requireUse(String option, Object value, String... methods) {
    Set<String> users = Set.of(methods);
    if (value != null
        && names.stream().noneMatch(name -> users.contains(CacheSettings.eviction(name)))) {
      throw new IllegalArgumentException(
          "%s is an option of --cache %s".formatted(option, String.join(" or ", methods)));
    }
  }
}
