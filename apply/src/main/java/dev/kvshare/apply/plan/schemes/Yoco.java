package dev.kvshare.apply.plan.schemes;

import dev.kvshare.apply.plan.LayerTypes;
import java.util.stream.IntStream;

/**
 * YOCO (arXiv 2405.05254): layers with a sliding window below, then one layer whose keys and values
 * all layers above read; pizza-bottom with a window.
 *
 * @param keyValueLayers layers that keep a cache, or 0 for the paper's half and one
 */
public record Yoco(int keyValueLayers) implements Scheme {
  private static final int WINDOW = 1024;

  @Override
  public LayerTypes layerTypes(int layers) {
    int kept = keyValueLayers == 0 ? Math.min(layers, layers / 2 + 1) : keyValueLayers;
    LayerTypes pizza = Configuration.of(Partition.PIZZA, Position.BOTTOM, kept).layerTypes(layers);
    return new LayerTypes(pizza.map(), IntStream.range(0, kept - 1).boxed().toList());
  }

  @Override
  public int slidingWindow() {
    return WINDOW;
  }
}
