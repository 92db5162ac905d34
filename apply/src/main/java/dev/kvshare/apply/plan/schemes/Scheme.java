package dev.kvshare.apply.plan.schemes;

import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.schemes.Configuration.Partition;
import dev.kvshare.apply.plan.schemes.Configuration.Position;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * A rule that says for any number of layers which layer reads whose keys and values: the schemes of
 * the papers. {@link #of} finds one by the name that its paper gives it.
 */
public sealed interface Scheme
    permits Configuration, Scheme.CrossLayerAttention, Scheme.Yoco, Scheme.MixAttention {

  /**
   * The layer types of a model.
   *
   * @param layers its number of layers
   * @throws IllegalArgumentException if the scheme does not fit so many layers
   */
  LayerTypes layerTypes(int layers);

  /** The sliding window of its paper, for the layers that have one. */
  default int slidingWindow() {
    return LayerTypes.DEFAULT_SLIDING_WINDOW;
  }

  /**
   * CLA-k (arXiv 2405.12981): groups of k layers, each reading its lowest; lasagna-bottom. What k
   * does not divide makes a smaller group at the bottom.
   *
   * @param groupSize k, at least 2
   */
  record CrossLayerAttention(int groupSize) implements Scheme {

    public CrossLayerAttention {
      if (groupSize < 2) {
        throw new IllegalArgumentException(
            "cla-%d shares nothing: cla-2, cla-3 and so on do".formatted(groupSize));
      }
    }

    @Override
    public LayerTypes layerTypes(int layers) {
      List<Integer> sizes = new ArrayList<>(Collections.nCopies(layers / groupSize, groupSize));
      if (layers % groupSize > 0) {
        sizes.add(0, layers % groupSize);
      }
      return Configuration.ofGroups(sizes, Position.BOTTOM);
    }
  }

  /**
   * YOCO (arXiv 2405.05254): layers with a sliding window below, then one layer whose keys and
   * values all layers above read; pizza-bottom with a window.
   *
   * @param keyValueLayers layers that keep a cache, or 0 for the paper's half and one
   */
  record Yoco(int keyValueLayers) implements Scheme {
    private static final int WINDOW = 1024;

    @Override
    public LayerTypes layerTypes(int layers) {
      int kept = keyValueLayers == 0 ? Math.min(layers, layers / 2 + 1) : keyValueLayers;
      LayerTypes pizza =
          Configuration.of(Partition.PIZZA, Position.BOTTOM, kept).layerTypes(layers);
      return new LayerTypes(pizza.map(), IntStream.range(0, kept - 1).boxed().toList());
    }

    @Override
    public int slidingWindow() {
      return WINDOW;
    }
  }

  /**
   * MixAttention (arXiv 2409.15012) in the form "Pairs" of the LCKV code: every sixth layer has
   * full attention, and each two of these share; the layers between them have a sliding window and
   * share in groups of two and three.
   */
  record MixAttention() implements Scheme {
    private static final int PERIOD = 6;
    private static final int WINDOW = 1024;
    private static final int LARGEST_GROUP = 3;

    @Override
    public LayerTypes layerTypes(int layers) {
      int[] sources = new int[layers];
      List<Integer> windowed = new ArrayList<>();
      for (int full = 0; full < layers; full += PERIOD) {
        boolean second = full / PERIOD % 2 == 1;
        sources[full] = second ? full - PERIOD : full;
        int end = Math.min(layers, full + PERIOD);
        int sliding = end - full - 1;
        int split = full + 1 + (sliding > LARGEST_GROUP ? 2 : sliding);
        for (int layer = full + 1; layer < end; layer++) {
          sources[layer] = layer < split ? full + 1 : split;
          windowed.add(layer);
        }
      }
      return new LayerTypes(SharingMap.of(sources), windowed);
    }

    @Override
    public int slidingWindow() {
      return WINDOW;
    }
  }

  /** The names, with K for a number. */
  String NAMES =
      "pizza, sandwich or lasagna with -bottom, -middle or -top, cla-K, yoco, mixattention, lckv";

  Pattern CONFIGURATION = Pattern.compile("(pizza|sandwich|lasagna)-(bottom|middle|top)");
  Pattern CLA = Pattern.compile("cla-(\\d{1,4})");
  int LCKV_WARMUP = 2;

  /**
   * Returns a scheme.
   *
   * @param name one of {@link #NAMES}
   * @param keyValueLayers layers that keep a cache, or null where the scheme says it
   * @param warmupLayers ordinary layers, or null for the scheme's own
   * @throws IllegalArgumentException if there is no such scheme, or the numbers do not go with it
   */
  static Scheme of(String name, Integer keyValueLayers, Integer warmupLayers) {
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
      boolean usual = keyValueLayers == null && warmupLayers == null;
      return configuration(
          Partition.SANDWICH,
          Position.TOP,
          keyValueLayers,
          usual ? Integer.valueOf(LCKV_WARMUP) : warmupLayers);
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

  private static void refuse(String name, String what, Integer number) {
    if (number != null) {
      throw new IllegalArgumentException(
          "the scheme %s says itself how many %s there are".formatted(name, what));
    }
  }
}
