package dev.kvshare.runtime;

import dev.kvshare.model.family.AttentionSpec;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.policy.PolicyMismatchException;
import dev.kvshare.policy.SharingMap;

/** What a sharing map must fulfil so that a model can be run under it. */
final class SharingRules {

  private SharingRules() {}

  /** Refuses a map of another number of layers, between unlike layers, or with sources above. */
  static void check(ModelSpec spec, SharingMap map) {
    if (map.layers() != spec.layers()) {
      throw new PolicyMismatchException(
          "the sharing map has %d layers, but the %s model has %d. Calibrate this model, or use the one that the map was made for."
              .formatted(map.layers(), spec.modelType(), spec.layers()));
    }
    for (int layer = 0; layer < map.layers(); layer++) {
      int source = map.source(layer);
      if (source > layer) {
        throw new UnsupportedSharingException(
            "layer %d is to read the keys and values of layer %d above it; the decoder runs maps whose sources lie below their readers only."
                .formatted(layer, source));
      }
      AttentionSpec reader = spec.blocks().get(layer).attention();
      AttentionSpec owner = spec.blocks().get(source).attention();
      if (!reader.sameCacheShape(owner)) {
        throw new PolicyMismatchException(
            "layer %d (%d key/value heads of size %d) cannot read the keys and values of layer %d (%d of size %d)."
                .formatted(
                    layer,
                    reader.keyValueHeads(),
                    reader.headSize(),
                    source,
                    owner.keyValueHeads(),
                    owner.headSize()));
      }
    }
  }
}
