package dev.kvshare.apply.decoder;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.PolicyException;

/** What a sharing plan must fulfil so that a model can be run under it. */
final class SharingRules {

  private SharingRules() {}

  /**
   * Refuses a map of another number of layers, between unlike layers, from layers without key and
   * value weights, with sources above their readers and nothing said about how to read them, or
   * with an exact prefill.
   */
  static void check(ModelSpec spec, Plan plan) {
    SharingMap map = plan.map();
    if (map.layers() != spec.layers()) {
      throw new PolicyException.Mismatch(
          "the sharing map has %d layers, but the %s model has %d. Calibrate this model, or use the one that the map was made for."
              .formatted(map.layers(), spec.modelType(), spec.layers()));
    }
    if (plan.prefill() == Plan.Prefill.EXACT) {
      throw new PolicyException.Unsupported(
          "the plan wants prompts computed exactly ('prefill': 'exact' in a policy), which this release cannot do. Set 'prefill' to 'plan', or install a newer kvshare.");
    }
    for (int layer = 0; layer < map.layers(); layer++) {
      int source = map.source(layer);
      if (source > layer && plan.upward() == null) {
        throw new PolicyException.Unsupported(
            "layer %d is to read the keys and values of layer %d above it, but nothing says how: by a number of passes over a prompt or token by token ('upper' in a policy)."
                .formatted(layer, source));
      }
      if (!spec.blocks().get(source).makesKeysAndValues()) {
        throw new PolicyException.Mismatch(
            "layer %d is to read the keys and values of layer %d, but the checkpoint has no key and value weights there: it was trained to share. Run it with its own map, without --policy."
                .formatted(layer, source));
      }
      AttentionSpec reader = spec.blocks().get(layer).attention();
      AttentionSpec owner = spec.blocks().get(source).attention();
      if (!reader.sameCacheShape(owner)) {
        throw new PolicyException.Mismatch(
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
