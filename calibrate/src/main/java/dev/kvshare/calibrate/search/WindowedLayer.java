package dev.kvshare.calibrate.search;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.LayerWindow;

/** One layer more that keeps the first and last tokens only, in place of reading another layer. */
record WindowedLayer(ModelSpec spec, LayerWindow window) implements LayerReduction {

  @Override
  public Plan extend(Plan plan, int layer) {
    int modelWindow = spec.blocks().get(layer).attention().window();
    boolean keepsNoMore = modelWindow > 0 && modelWindow <= window.tokens();
    return plan.isReduced(layer) || keepsNoMore
        ? null
        : plan.withWindowed(layer, window.tokens(), window.sinks());
  }
}
