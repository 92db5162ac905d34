package dev.kvshare.cli.print;

import dev.kvshare.apply.plan.IterationPlan;
import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** Draws how layers share, and says how they are run. */
public final class PlanDescription {
  private PlanDescription() {}

  /** Adds the map, its notation, the windows and what a prompt costs. */
  public static void add(Facts facts, Plan plan) {
    facts.add("layer types", LayerTypes.of(plan).toString());
    facts.add("map", MapPicture.lines(plan));
    if (!plan.windowedLayers().isEmpty()) {
      facts.add(
          "window",
          plan.windows().first() > 0
              ? ends(plan)
              : List.of(
                  "%s: %d tokens, the current one included"
                      .formatted(LayerRanges.text(plan.windowedLayers()), plan.windows().last())));
    }
    if (plan.hidesOwnToken()) {
      facts.add("own token", "no layer sees the keys and values of the current token");
    }
    if (plan.map().hasUpwardSources()) {
      facts.add("upward", upward(plan));
    }
    facts.add("prompt", promptCost(plan));
  }

  /** What layers with a window and sinks keep, and those that read what is kept for others, see. */
  static List<String> ends(Plan plan) {
    Map<Boolean, List<Integer>> byKeeping =
        plan.windowedLayers().stream()
            .collect(
                Collectors.partitioningBy(
                    layer -> plan.map().ownsCache(layer) && plan.restricts(layer)));
    String ends =
        "first %d and last %d tokens, the current one included"
            .formatted(plan.windows().first(), plan.windows().last());
    List<String> lines = new ArrayList<>();
    byKeeping.forEach(
        (keeps, layers) -> {
          if (!layers.isEmpty()) {
            boolean one = layers.size() == 1;
            String verb =
                keeps ? (one ? "keeps its " : "keep their ") : (one ? "sees the " : "see the ");
            lines.add(LayerRanges.text(layers) + " " + verb + ends);
          }
        });
    return lines;
  }

  private static List<String> upward(Plan plan) {
    String groups =
        IterationPlan.of(plan.map()).stream()
            .filter(IterationPlan.Group::iterated)
            .map(group -> group.from() + " to " + (group.to() - 1))
            .collect(Collectors.joining(", "));
    return List.of(
        "sources lie above their readers in layers " + groups,
        "prompts: " + reading(plan.upward()),
        "decoding: one token after another, which sees the source's tokens before it");
  }

  /** How prompts are run. */
  static String reading(UpwardReading reading) {
    return reading instanceof UpwardReading.Parallel parallel
        ? parallel.passes() + " passes"
        : "token by token";
  }

  private static String promptCost(Plan plan) {
    int layers = plan.map().layers();
    int run = IterationPlan.layersPerPromptToken(plan);
    int unshared = IterationPlan.layersPerPromptToken(Plan.identity(layers));
    String text =
        "each token goes through %d layers instead of %d".formatted(run, unshared)
            + (unshared == 0
                ? ""
                : String.format(Locale.ROOT, ": %.2f times the work", (double) run / unshared));
    return plan.upward() instanceof UpwardReading.Sequential
        ? text + ", one token after another"
        : text;
  }
}
