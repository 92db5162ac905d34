package dev.kvshare.apply.plan.schemes;

import dev.kvshare.apply.plan.LayerTypes;
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

  /** Refuses numbers that leave no group. */
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

  /** LCKV: all but the warm-up layers read the highest of them. */
  public static Configuration lckv(int warmupLayers) {
    return new Configuration(Partition.SANDWICH, Position.TOP, warmupLayers + 1, warmupLayers);
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
    return new Groups()
        .ordinary(partition.below(warmupLayers))
        .groups(layers - warmupLayers, keyValueLayers - warmupLayers, position)
        .ordinary(partition.above(warmupLayers))
        .types();
  }
}
