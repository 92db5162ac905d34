package dev.kvshare.calibrate.score;

import dev.kvshare.apply.plan.Plan.LayerAction;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What each action of each layer costs, alone: an estimate of the KL divergence from the unshared
 * model in nats a token, which nearly adds up over the layers of a plan.
 *
 * @param byLayer for each layer, bottom first, the actions that were scored with their costs
 * @param tokens on which they were scored
 */
public record Scores(List<Map<LayerAction, Double>> byLayer, long tokens) {

  /** Copies the maps; their order stays. */
  public Scores {
    List<Map<LayerAction, Double>> copies = new ArrayList<>();
    byLayer.forEach(scores -> copies.add(Collections.unmodifiableMap(new LinkedHashMap<>(scores))));
    byLayer = List.copyOf(copies);
  }

  /** The cost of an action of a layer, 0 for {@code Own}; infinite where it was not scored. */
  public double of(int layer, LayerAction action) {
    return action instanceof LayerAction.Own
        ? 0
        : byLayer.get(layer).getOrDefault(action, Double.POSITIVE_INFINITY);
  }

  /** The same with other costs of an action in some layers. */
  public Scores with(LayerAction action, Map<Integer, Double> costs) {
    List<Map<LayerAction, Double>> copies = new ArrayList<>();
    byLayer.forEach(scores -> copies.add(new LinkedHashMap<>(scores)));
    costs.forEach((layer, cost) -> copies.get(layer).put(action, cost));
    return new Scores(copies, tokens);
  }
}
