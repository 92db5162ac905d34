package dev.kvshare.calibrate.search;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.LayerAction;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.score.Scores;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Plans from scores: one layer more at a time, the action that costs least for each byte that it
 * saves, until the plan keeps as little as is wanted. Costs of single layers nearly add up.
 *
 * @param goals what is wanted, and the window
 * @param acrossKinds whether layers with a sliding window and layers with full attention may share
 *     with each other
 * @param preferTop see {@link ShareMethod}
 */
record ScoredPlans(
    ModelSpec spec, Scores scores, SearchGoals goals, boolean acrossKinds, boolean preferTop) {
  /** Layers below that a layer is scored with: with repair the source matters little. */
  private static final int SOURCES = 2;

  private static final double BESIDE_TOP = 2;

  /** What is to be scored of each layer. */
  static List<List<LayerAction>> actions(ModelSpec spec, SearchGoals goals, boolean acrossKinds) {
    List<List<LayerAction>> actions = new ArrayList<>();
    for (int layer = 0; layer < spec.layers(); layer++) {
      List<LayerAction> ofLayer = new ArrayList<>();
      int modelWindow = spec.blocks().get(layer).attention().window();
      if (goals.windowed().isPresent()
          && (modelWindow == 0 || modelWindow > goals.window().last())) {
        ofLayer.add(new LayerAction.Window(goals.window().first(), goals.window().last()));
      }
      if (goals.sharing().isPresent()) {
        int reader = layer;
        IntStream.iterate(layer - 1, source -> source >= 0, source -> source - 1)
            .filter(source -> spec.mayShare(reader, source, acrossKinds))
            .limit(SOURCES)
            .forEach(source -> ofLayer.add(new LayerAction.Share(source)));
      }
      actions.add(ofLayer);
    }
    return actions;
  }

  /**
   * The way to the plan, from the unshared model on; it ends early where no layer is left.
   *
   * @param windows whether layers are windowed
   * @param shares whether layers share
   */
  List<Plan> steps(boolean windows, boolean shares) {
    List<Plan> steps = new ArrayList<>(List.of(Plan.identity(spec.layers())));
    Plan last = steps.get(0);
    while (last != null && !goals.isReached(last)) {
      last = next(last, windows, shares);
      if (last != null) {
        steps.add(last);
      }
    }
    return steps;
  }

  /** The summed costs of what its layers do. */
  double cost(Plan plan) {
    return IntStream.range(0, spec.layers()).mapToDouble(layer -> cost(plan, layer)).sum();
  }

  private Plan next(Plan plan, boolean windows, boolean shares) {
    Plan best = null;
    double least = Double.POSITIVE_INFINITY;
    for (int layer = 0; layer < spec.layers(); layer++) {
      for (Map.Entry<LayerAction, Double> scored : scores.byLayer().get(layer).entrySet()) {
        boolean window = scored.getKey() instanceof LayerAction.Window;
        boolean allowed = !plan.isReduced(layer) && (window ? windows : shares);
        Plan with = allowed ? with(plan, layer, scored.getKey()) : null;
        if (with != null) {
          boolean beside = preferTop && !window && plan.map().highestOwner() != layer;
          double cost = scored.getValue() * (beside ? BESIDE_TOP : 1) / goals.part(scored.getKey());
          if (cost < least) {
            least = cost;
            best = with;
          }
        }
      }
    }
    return best;
  }

  /** Null where the model, or what other layers do, forbids it. */
  private Plan with(Plan plan, int layer, LayerAction action) {
    SharingMap map = plan.map();
    if (action instanceof LayerAction.Window window) {
      boolean read =
          IntStream.range(0, map.layers()).anyMatch(i -> i != layer && map.source(i) == layer);
      return read ? null : plan.withWindowed(layer, window.last(), window.first());
    }
    SharingMap shared = map.withShared(layer, ((LayerAction.Share) action).source());
    return IntStream.range(0, map.layers())
            .allMatch(
                reader ->
                    shared.ownsCache(reader)
                        || (!plan.isWindowed(shared.source(reader))
                            && spec.mayShare(reader, shared.source(reader), acrossKinds)))
        ? new Plan(shared, plan.windows(), plan.prefill(), plan.upward(), plan.hidesOwnToken())
        : null;
  }

  /** Of a source that was not scored, that of the farthest that was. */
  private double cost(Plan plan, int layer) {
    LayerAction action = plan.action(layer);
    double cost = scores.of(layer, action);
    return Double.isInfinite(cost)
        ? scores.byLayer().get(layer).entrySet().stream()
            .filter(scored -> scored.getKey() instanceof LayerAction.Share)
            .mapToDouble(Map.Entry::getValue)
            .reduce(Double.POSITIVE_INFINITY, (first, second) -> second)
        : cost;
  }
}
