package dev.kvshare.apply.cache;

import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
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
 * @param format of int8
 */
public record CacheSettings(
    TokenAmount budget,
    Integer sinks,
    TokenAmount recent,
    Boolean meanScores,
    Integer window,
    Integer kernel,
    Double steepness,
    KeyValueFormat format) {
  private static final TokenAmount DEFAULT_BUDGET = TokenAmount.fraction(0.5);
  private static final TokenAmount DEFAULT_STREAM = TokenAmount.tokens(256);

  /** Everything as the methods have it. */
  public static final CacheSettings DEFAULT =
      new CacheSettings(null, null, null, null, null, null, null, null);

  /** The name of a policy without the 8-bit numbers that may be added to it. */
  public static String eviction(String name) {
    return name.toLowerCase(Locale.ROOT).replaceFirst("\\+int8$", "");
  }

  /**
   * The policy of that name: streaming-llm, h2o, snapkv, pyramid or int8, and +int8 behind one of
   * the first four.
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
          case Int8Kv.NAME -> new Int8Kv(orElse(format, KeyValueFormat.INT8_PER_TOKEN));
          default ->
              throw new IllegalArgumentException(
                  "the cache policy '%s' is not known: expected streaming-llm, h2o, snapkv, pyramid or int8, and +int8 behind one of the first four"
                      .formatted(name));
        };
    return eviction.length() == name.length() ? policy : new Int8Kv.WithEviction(policy);
  }

  private static <T> T orElse(T given, T otherwise) {
    return given == null ? otherwise : given;
  }
}
