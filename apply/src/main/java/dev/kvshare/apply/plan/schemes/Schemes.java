package dev.kvshare.apply.plan.schemes;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Finds a scheme by the name that the papers give it. */
public final class Schemes {
  /** The names, with K for a number. */
  public static final String NAMES =
      "pizza, sandwich or lasagna with -bottom, -middle or -top, cla-K, yoco, mixattention, lckv";

  private static final Pattern CONFIGURATION =
      Pattern.compile("(pizza|sandwich|lasagna)-(bottom|middle|top)");
  private static final Pattern CLA = Pattern.compile("cla-(\\d{1,4})");
  private static final int LCKV_WARMUP = 2;

  private Schemes() {}

  /**
   * Returns a scheme.
   *
   * @param name one of {@link #NAMES}
   * @param keyValueLayers layers that keep a cache, or null where the scheme says it
   * @param warmupLayers ordinary layers, or null for the scheme's own
   * @throws IllegalArgumentException if there is no such scheme, or the numbers do not go with it
   */
  public static Scheme of(String name, Integer keyValueLayers, Integer warmupLayers) {
    String lower = name.toLowerCase(Locale.ROOT);
    Matcher configuration = CONFIGURATION.matcher(lower);
    if (configuration.matches()) {
      return configuration(
          Partition.valueOf(configuration.group(1).toUpperCase(Locale.ROOT)),
          Position.valueOf(configuration.group(2).toUpperCase(Locale.ROOT)),
          keyValueLayers,
          warmupLayers);
    }
    if (lower.equals("lckv")) {
      return lckv(keyValueLayers, warmupLayers);
    }
    refuse(name, "warm-up layers", warmupLayers);
    if (lower.equals("yoco")) {
      return new Yoco(keyValueLayers == null ? 0 : keyValueLayers);
    }
    Matcher cla = CLA.matcher(lower);
    if (cla.matches()) {
      refuse(name, "KV layers", keyValueLayers);
      return new CrossLayerAttention(Integer.parseInt(cla.group(1)));
    }
    if (lower.equals("mixattention")) {
      refuse(name, "KV layers", keyValueLayers);
      return new MixAttention();
    }
    throw new IllegalArgumentException(
        "there is no scheme '%s'; the schemes are %s".formatted(name, NAMES));
  }

  private static Scheme configuration(
      Partition partition, Position position, Integer keyValueLayers, Integer warmupLayers) {
    boolean oneGroup = partition != Partition.LASAGNA;
    if (keyValueLayers == null && warmupLayers != null && oneGroup) {
      return new Configuration(partition, position, warmupLayers + 1, warmupLayers);
    }
    if (keyValueLayers == null) {
      throw new IllegalArgumentException(
          "the scheme %s needs a number of KV layers"
              .formatted(Configuration.name(partition, position)));
    }
    return warmupLayers == null
        ? Configuration.of(partition, position, keyValueLayers)
        : new Configuration(partition, position, keyValueLayers, warmupLayers);
  }

  private static Scheme lckv(Integer keyValueLayers, Integer warmupLayers) {
    if (keyValueLayers == null && warmupLayers == null) {
      return Configuration.lckv(LCKV_WARMUP);
    }
    return configuration(Partition.SANDWICH, Position.TOP, keyValueLayers, warmupLayers);
  }

  private static void refuse(String name, String what, Integer number) {
    if (number != null) {
      throw new IllegalArgumentException(
          "the scheme %s says itself how many %s there are".formatted(name, what));
    }
  }
}
