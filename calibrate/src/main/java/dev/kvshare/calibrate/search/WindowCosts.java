package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.LayerAction;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.calibrate.score.Scores;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * Adds to the scores of windows what is measured with one windowed layer at a time: what it loses
 * of what stands far back, which ordinary text hardly shows, and around the border between layers
 * that are windowed and others what it loses on text.
 */
public final class WindowCosts {
  /** Layers on either side of the border that are measured on text. */
  public static final int BORDER = 3;

  private final int layers;
  private final int windowed;
  private final LayerAction action;

  /**
   * @param layers of the model
   * @param goals with layers that are to be windowed
   */
  WindowCosts(int layers, SearchGoals goals) {
    this.layers = layers;
    this.windowed = goals.windowed().getAsInt();
    this.action = new LayerAction.Window(goals.window().first(), goals.window().last());
  }

  private Plan alone(int layer) {
    LayerAction.Window window = (LayerAction.Window) action;
    return Plan.identity(layers).withWindowed(layer, window.last(), window.first());
  }

  private List<Integer> scored(Scores scores) {
    return IntStream.range(0, layers)
        .filter(layer -> scores.byLayer().get(layer).containsKey(action))
        .boxed()
        .toList();
  }

  /**
   * Adds what each layer loses of what stands far back. The prompts are computed exactly, so that
   * they run once for all layers.
   *
   * @param recall asks plans, one after the other
   */
  Scores withRecall(Scores scores, Function<List<Plan>, List<Recall>> recall) {
    List<Integer> asked = scored(scores);
    List<Recall> found =
        recall.apply(asked.stream().map(layer -> alone(layer).withPrefill(Prefill.EXACT)).toList());
    Map<Integer, Double> costs = new HashMap<>();
    for (int i = 0; i < asked.size(); i++) {
      costs.put(asked.get(i), scores.of(asked.get(i), action) + found.get(i).meanDivergence());
    }
    return scores.with(action, costs);
  }

  /**
   * Measures the layers around the border on text, and deals their costs out anew in the order of
   * what they lose there and far back: scores are too close to tell there.
   *
   * @param text the scores on text alone
   * @param quality the KL divergence of a plan on text
   */
  Scores bordered(Scores scores, Scores text, ToDoubleFunction<Plan> quality) {
    List<Integer> order =
        scored(scores).stream()
            .sorted(Comparator.comparingDouble(layer -> scores.of(layer, action)))
            .toList();
    int taken = Math.min(order.size(), windowed);
    if (taken == 0 || taken == order.size()) {
      return scores;
    }
    List<Integer> border =
        order.subList(Math.max(0, taken - BORDER), Math.min(order.size(), taken + BORDER));
    Map<Integer, Double> measured = new HashMap<>();
    for (int layer : border) {
      double farBack = scores.of(layer, action) - text.of(layer, action);
      measured.put(layer, quality.applyAsDouble(alone(layer)) + farBack);
    }
    List<Integer> sorted = new ArrayList<>(border);
    sorted.sort(Comparator.comparingDouble(measured::get));
    Map<Integer, Double> dealt = new HashMap<>();
    for (int place = 0; place < border.size(); place++) {
      dealt.put(sorted.get(place), scores.of(border.get(place), action));
    }
    return scores.with(action, dealt);
  }
}
