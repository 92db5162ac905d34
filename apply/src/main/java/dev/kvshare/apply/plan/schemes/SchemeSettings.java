package dev.kvshare.apply.plan.schemes;

import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;

/**
 * A scheme by name, or layer types in the notation of {@link LayerTypes}, with what there is to say
 * of it besides. What is null is as the scheme has it.
 *
 * @param name of the scheme; null where {@code layerTypes} are given
 * @param layerTypes null where a scheme is named
 * @param keyValueLayers layers that keep a cache
 * @param warmupLayers ordinary layers
 * @param window tokens that layers with a sliding window see
 * @param upward how sources above their readers are read
 */
public record SchemeSettings(
    String name,
    String layerTypes,
    Integer keyValueLayers,
    Integer warmupLayers,
    Integer window,
    UpwardReading upward) {

  /** The window of the layers that have one, in tokens. */
  public int slidingWindow() {
    if (window != null) {
      return window;
    }
    return name == null ? LayerTypes.DEFAULT_SLIDING_WINDOW : scheme().slidingWindow();
  }

  /**
   * The plan for a model.
   *
   * @param layers of the model
   * @param moreTokens added to each window; 1 is the flash attention of the LCKV code
   * @param hidesOwnToken {@code force_nodiag}: no layer sees the current token
   * @throws IllegalArgumentException if there is no such scheme, or it does not fit the model
   */
  public Plan plan(int layers, int moreTokens, boolean hidesOwnToken) {
    return types(layers).plan(slidingWindow() + moreTokens, upward, hidesOwnToken);
  }

  private LayerTypes types(int layers) {
    if (name != null) {
      return scheme().layerTypes(layers);
    }
    LayerTypes types = LayerTypes.parse(layerTypes);
    if (types.map().layers() != layers) {
      throw new IllegalArgumentException(
          "the layer types '%s' are for %d layers, but the model has %d"
              .formatted(layerTypes, types.map().layers(), layers));
    }
    return types;
  }

  private Scheme scheme() {
    return Scheme.of(name, keyValueLayers, warmupLayers);
  }
}
