package dev.kvshare.apply.policy;

/**
 * The model that a policy was made for. Only the number of layers is always known; hand-written
 * policies may leave out the rest.
 *
 * @param modelType the {@code model_type} of the model's configuration, or null
 * @param layers number of layers
 * @param queryHeads query heads a layer, or null
 * @param keyValueHeads key/value heads a layer, or null
 * @param headSize elements of a head, or null
 * @param fingerprint {@code sha256:…} over configuration, tensor names, shapes and sampled bytes,
 *     or null
 */
public record ModelIdentity(
    String modelType,
    int layers,
    Integer queryHeads,
    Integer keyValueHeads,
    Integer headSize,
    String fingerprint) {

  /** Refuses a model without layers. */
  public ModelIdentity {
    if (layers < 1) {
      throw new IllegalArgumentException("a model has at least one layer, found " + layers);
    }
  }

  /** Returns the identity of a model of which only the number of layers is known. */
  public static ModelIdentity ofLayers(int layers) {
    return new ModelIdentity(null, layers, null, null, null, null);
  }
}
