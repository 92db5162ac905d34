package dev.kvshare.calibrate;

import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.policy.SharingPlan;

/** One layer more that keeps the first and last tokens only, in place of reading another layer. */
record WindowedLayer(ModelSpec spec, LayerWindow window) implements LayerReduction {

  @Override
  public SharingPlan extend(SharingPlan plan, int layer) {
    int modelWindow = spec.blocks().get(layer).attention().window();
    boolean keepsNoMore = modelWindow > 0 && modelWindow <= window.tokens();
    return plan.isReduced(layer) || keepsNoMore
        ? null
        : plan.withWindowed(layer, window.tokens(), window.sinks());
  }
}
