package dev.kvshare.apply.plan.schemes;

import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

/**
 * One of the nine configurations of "A Systematic Study of Cross-Layer KV Sharing" (arXiv
 * 2410.14442, section 3, table 1). LCKV (arXiv 2405.10637) is sandwich-top.
 *
 * @param partition how layers are parted
 * @param position where the source of a group stands
 * @param keyValueLayers layers that keep a cache, the ordinary ones included
 * @param warmupLayers ordinary layers; what is left is parted into {@code keyValueLayers -
 *     warmupLayers} groups
 */
public record Configuration(
    Partition partition, Position position, int keyValueLayers, int warmupLayers)
    implements Scheme {

  public Configuration {
    if (warmupLayers < 0 || keyValueLayers <= warmupLayers) {
      throw new IllegalArgumentException(
          "%d KV layers, %d of them warm-up layers, leave none for the layers that share: %d KV layers or more are needed"
              .formatted(keyValueLayers, warmupLayers, warmupLayers + 1));
    }
  }

  /** With as many ordinary layers as the paper gives so many KV layers. */
  public static Configuration of(Partition partition, Position position, int keyValueLayers) {
    return new Configuration(
        partition, position, keyValueLayers, partition.usualWarmup(keyValueLayers));
  }

  /** The name, as in {@code sandwich-top}. */
  public String name() {
    return name(partition, position);
  }

  static String name(Partition partition, Position position) {
    return (partition + "-" + position).toLowerCase(Locale.ROOT);
  }

  @Override
  public LayerTypes layerTypes(int layers) {
    if (keyValueLayers > layers) {
      throw new IllegalArgumentException(
          "%s with %d KV layers needs a model of as many layers, but this one has %d"
              .formatted(name(), keyValueLayers, layers));
    }
    List<Integer> sizes = new ArrayList<>(Collections.nCopies(partition.below(warmupLayers), 1));
    sizes.addAll(sizes(layers - warmupLayers, keyValueLayers - warmupLayers));
    sizes.addAll(Collections.nCopies(partition.above(warmupLayers), 1));
    return ofGroups(sizes, position);
  }

  /**
   * The sizes of equal groups. What does not divide leaves the lowest group smaller, as in the
   * CLA-3 configuration of the LCKV code, or, where that would leave it empty, the lower groups
   * smaller by one.
   */
  private static List<Integer> sizes(int layers, int groups) {
    int size = (layers + groups - 1) / groups;
    int lowest = layers - size * (groups - 1);
    int larger = lowest >= 1 ? groups - 1 : layers % groups;
    List<Integer> sizes = new ArrayList<>(Collections.nCopies(groups - larger, layers / groups));
    sizes.addAll(Collections.nCopies(larger, size));
    sizes.set(0, lowest >= 1 ? lowest : sizes.get(0));
    return sizes;
  }

  /** Layer types of groups from the bottom up; a group of one keeps its own. */
  static LayerTypes ofGroups(List<Integer> sizes, Position position) {
    List<Integer> sources = new ArrayList<>();
    for (int size : sizes) {
      int source = position.of(sources.size(), sources.size() + size);
      sources.addAll(Collections.nCopies(size, source));
    }
    return new LayerTypes(SharingMap.of(sources.stream().mapToInt(i -> i).toArray()), List.of());
  }

  /** How layers are parted (arXiv 2410.14442, section 3); ordinary layers keep their own cache. */
  public enum Partition {
    /** Ordinary layers at the bottom, then one group: the crust and what is on it. */
    PIZZA,
    /** Ordinary layers at both ends, one group in between. */
    SANDWICH,
    /** Groups of equal size from bottom to top. */
    LASAGNA;

    /** Ordinary layers at the bottom when {@code warmup} of them are wanted. */
    int below(int warmup) {
      return this == SANDWICH ? (warmup + 1) / 2 : warmup;
    }

    /** Ordinary layers at the top when {@code warmup} of them are wanted. */
    int above(int warmup) {
      return warmup - below(warmup);
    }

    /** Ordinary layers where {@code keyValueLayers} keep a cache and nothing else is said. */
    int usualWarmup(int keyValueLayers) {
      return this == LASAGNA ? 0 : keyValueLayers - 1;
    }
  }

  /** Where in its group the layer stands whose keys and values the group reads. */
  public enum Position {
    /** The lowest layer. */
    BOTTOM,
    /** The middle one, the lower of two. */
    MIDDLE,
    /** The highest layer. */
    TOP;

    /** The source of the layers {@code from} to {@code to - 1}. */
    int of(int from, int to) {
      return switch (this) {
        case BOTTOM -> from;
        case MIDDLE -> (from + to - 1) / 2;
        case TOP -> to - 1;
      };
    }
  }
}
