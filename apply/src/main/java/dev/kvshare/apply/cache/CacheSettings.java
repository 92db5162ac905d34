package dev.kvshare.apply.cache;

import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import java.util.List;
import java.util.Locale;

/**
 * What a cache policy is asked to be besides its name. What is null is as the method has it.
 *
 * @param budget tokens that a layer keeps; half of the prompt, for streaming-llm 256
 * @param sinks first tokens that streaming-llm keeps
 * @param recent last tokens that h2o keeps
 * @param meanScores whether h2o takes the mean of attention over queries, not the sum
 * @param window last tokens of the prompt that choose for snapkv and pyramid
 * @param kernel neighbours that snapkv and pyramid choose together
 * @param steepness how many times the budget of pyramid's top layer goes into the mean
 * @param channelScales whether keys of int8 and int4 have a scale for each channel
 */
public record CacheSettings(
    TokenAmount budget,
    Integer sinks,
    TokenAmount recent,
    Boolean meanScores,
    Integer window,
    Integer kernel,
    Double steepness,
    Boolean channelScales) {
  private static final TokenAmount DEFAULT_BUDGET = TokenAmount.fraction(0.5);
  private static final TokenAmount DEFAULT_STREAM = TokenAmount.tokens(256);

  /** Everything as the methods have it. */
  public static final CacheSettings DEFAULT =
      new CacheSettings(null, null, null, null, null, null, null, null);

  /** The name of a policy without the integers that may be added to it. */
  private static String eviction(String name) {
    return name.toLowerCase(Locale.ROOT).replaceFirst("\\+int[48]$", "");
  }

  /**
   * The policies of these names, in their order.
   *
   * @throws IllegalArgumentException as {@link #policy}, and if none of them uses a setting that
   *     was given
   */
  public List<CachePolicy> policies(List<String> names) {
    requireUse(names, "budget", budget, StreamingLlm.NAME, H2o.NAME, SnapKv.NAME, PyramidKv.NAME);
    requireUse(names, "sinks", sinks, StreamingLlm.NAME);
    requireUse(names, "recent", recent, H2o.NAME);
    requireUse(names, "scores", meanScores, H2o.NAME);
    requireUse(names, "window", window, SnapKv.NAME, PyramidKv.NAME);
    requireUse(names, "kernel", kernel, SnapKv.NAME, PyramidKv.NAME);
    requireUse(names, "steepness", steepness, PyramidKv.NAME);
    requireUse(names, "scales", channelScales, IntegerKv.INT8, IntegerKv.INT4);
    return names.stream().map(this::policy).toList();
  }

  private static void requireUse(
      List<String> names, String setting, Object valueOrNull, String... users) {
    if (valueOrNull != null
        && names.stream().noneMatch(name -> List.of(users).contains(eviction(name)))) {
      throw new IllegalArgumentException(
          "--cache-%s is an option of --cache %s".formatted(setting, String.join(" or ", users)));
    }
  }

  /**
   * The policy of that name: streaming-llm, h2o, snapkv, pyramid, int8 or int4, and +int8 or +int4
   * behind one of the first four.
   *
   * @throws IllegalArgumentException if there is none, or its settings make no sense
   */
  public CachePolicy policy(String name) {
    String eviction = eviction(name);
    int votes = orElse(window, SnapKv.DEFAULT_WINDOW);
    int pooled = orElse(kernel, SnapKv.DEFAULT_KERNEL);
    CachePolicy policy =
        switch (eviction) {
          case StreamingLlm.NAME ->
              new StreamingLlm(
                  orElse(budget, DEFAULT_STREAM), orElse(sinks, StreamingLlm.DEFAULT_SINKS));
          case H2o.NAME ->
              new H2o(
                  orElse(budget, DEFAULT_BUDGET),
                  orElse(recent, H2o.DEFAULT_RECENT),
                  orElse(meanScores, false));
          case SnapKv.NAME -> new SnapKv(orElse(budget, DEFAULT_BUDGET), votes, pooled);
          case PyramidKv.NAME ->
              new PyramidKv(
                  orElse(budget, DEFAULT_BUDGET),
                  votes,
                  pooled,
                  orElse(steepness, PyramidKv.DEFAULT_STEEPNESS));
          case IntegerKv.INT8, IntegerKv.INT4 ->
              new IntegerKv(integers(eviction, orElse(channelScales, false)));
          default ->
              throw new IllegalArgumentException(
                  "the cache policy '%s' is not known: expected streaming-llm, h2o, snapkv, pyramid, int8 or int4, and +int8 or +int4 behind one of the first four"
                      .formatted(name));
        };
    if (eviction.length() == name.length()) {
      return policy;
    }
    return new IntegerKv.WithEviction(policy, integers(name, false));
  }

  /** The format of integers that the end of a name says. */
  private static KeyValueFormat integers(String name, boolean byChannel) {
    if (name.endsWith("4")) {
      return byChannel ? KeyValueFormat.INT4_PER_CHANNEL : KeyValueFormat.INT4_PER_TOKEN;
    }
    return byChannel ? KeyValueFormat.INT8_PER_CHANNEL : KeyValueFormat.INT8_PER_TOKEN;
  }

  private static <T> T orElse(T given, T otherwise) {
    return given == null ? otherwise : given;
  }
}
