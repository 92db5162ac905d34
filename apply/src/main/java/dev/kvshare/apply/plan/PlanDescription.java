package dev.kvshare.apply.plan;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** A plan in words, and as a picture: one mark a layer, and below it who reads whom. */
public final class PlanDescription {
  private static final int LAYERS_A_LINE = 32;
  private static final int READERS_A_LINE = 6;

  private PlanDescription() {}

  /** Adds lines under names: the map, its notation, the windows and what a prompt costs. */
  public static void addTo(Map<String, List<String>> facts, Plan plan) {
    facts.put("layer types", List.of(LayerTypes.of(plan).toString()));
    facts.put("map", picture(plan));
    if (plan.windows() != null) {
      facts.put("window", windows(plan));
    }
    if (plan.hidesOwnToken()) {
      facts.put("own token", List.of("no layer sees the keys and values of the current token"));
    }
    if (plan.map().hasUpwardSources()) {
      facts.put("upward", upward(plan));
    }
    facts.put("prompt", List.of(promptCost(plan)));
  }

  private static List<String> windows(Plan plan) {
    return plan.windows().first() > 0
        ? ends(plan)
        : List.of(
            "%s: %d tokens, the current one included"
                .formatted(layers(plan.windowedLayers()), plan.windows().last()));
  }

  /** What layers with a window and sinks keep, and those that read what is kept for others, see. */
  public static List<String> ends(Plan plan) {
    List<String> lines = new ArrayList<>();
    for (boolean keeps : new boolean[] {false, true}) {
      List<Integer> layers =
          plan.windowedLayers().stream()
              .filter(layer -> keeps == (plan.map().ownsCache(layer) && plan.restricts(layer)))
              .toList();
      String verb = (keeps ? "keep" : "see") + (layers.size() == 1 ? "s" : "");
      if (!layers.isEmpty()) {
        lines.add(
            "%s %s %s first %d and last %d tokens, the current one included"
                .formatted(
                    layers(layers),
                    verb,
                    keeps ? (layers.size() == 1 ? "its" : "their") : "the",
                    plan.windows().first(),
                    plan.windows().last()));
      }
    }
    return lines;
  }

  private static List<String> upward(Plan plan) {
    String groups =
        UpwardReading.groups(plan.map()).stream()
            .filter(UpwardReading.Group::iterated)
            .map(group -> group.from() + " to " + (group.to() - 1))
            .collect(Collectors.joining(", "));
    return List.of(
        "sources lie above their readers in layers " + groups,
        "prompts: " + reading(plan.upward()),
        "decoding: one token after another, which sees the source's tokens before it");
  }

  public static String reading(UpwardReading reading) {
    return reading instanceof UpwardReading.Parallel parallel
        ? parallel.passes() + " passes"
        : "token by token";
  }

  private static String promptCost(Plan plan) {
    if (plan.prefill() == Plan.Prefill.EXACT) {
      return "exact: as the unshared model computes it; what the plan does not keep of a layer is dropped behind it";
    }
    int layers = plan.map().layers();
    int run = UpwardReading.layersPerPromptToken(plan);
    int unshared = UpwardReading.layersPerPromptToken(Plan.identity(layers));
    return "each token goes through %d layers instead of %d".formatted(run, unshared)
        + (unshared == 0
            ? ""
            : String.format(Locale.ROOT, ": %.2f times the work", (double) run / unshared))
        + (plan.upward() instanceof UpwardReading.Sequential ? ", one token after another" : "");
  }

  /**
   * The layers as marks, {@value #LAYERS_A_LINE} a line, with what they mean and who reads whom.
   */
  public static List<String> picture(Plan plan) {
    SharingMap map = plan.map();
    List<String> lines = new ArrayList<>();
    for (int start = 0; start < map.layers(); start += LAYERS_A_LINE) {
      StringBuilder line = new StringBuilder(String.format(Locale.ROOT, "%3d ", start));
      for (int layer = start; layer < Math.min(map.layers(), start + LAYERS_A_LINE); layer++) {
        line.append(mark(plan, layer)).append(' ');
      }
      lines.add(line.toString().stripTrailing());
    }
    lines.add(
        "    ● keeps its own keys and values"
            + (map.isIdentity() && plan.windows() != null
                ? ""
                : "   ○ reads those of another layer"));
    if (map.owners().stream().anyMatch(owner -> keepsEnds(plan, owner))) {
      lines.add(
          "    ◐ keeps its own of the first %d and last %d tokens"
              .formatted(plan.windows().first(), plan.windows().last()));
    }
    if (map.hasUpwardSources()) {
      lines.add("    △ reads those of a layer above it, of earlier tokens");
    }
    if (map.hasChains()) {
      lines.add("    ◐ makes keys and values for others and itself reads those of another layer");
    }
    List<String> readers =
        IntStream.range(0, map.layers())
            .filter(layer -> map.source(layer) != layer)
            .mapToObj(layer -> layer + " reads " + map.source(layer))
            .toList();
    for (int start = 0; start < readers.size(); start += READERS_A_LINE) {
      int end = Math.min(readers.size(), start + READERS_A_LINE);
      lines.add(
          "    "
              + String.join(", ", readers.subList(start, end))
              + (end < readers.size() ? "," : ""));
    }
    return lines;
  }

  private static boolean keepsEnds(Plan plan, int owner) {
    return plan.windows() != null && plan.windows().first() > 0 && plan.restricts(owner);
  }

  private static char mark(Plan plan, int layer) {
    SharingMap map = plan.map();
    if (map.source(layer) == layer) {
      return keepsEnds(plan, layer) ? '◐' : '●';
    }
    if (map.ownsCache(layer)) {
      return '◐';
    }
    return map.source(layer) > layer ? '△' : '○';
  }

  /** For example "layers 0-4, 6-10" for the numbers from 0 to 10 without 5. */
  public static String layers(List<Integer> layers) {
    List<String> ranges = new ArrayList<>();
    int start = 0;
    for (int i = 1; i <= layers.size(); i++) {
      if (i == layers.size() || layers.get(i) != layers.get(i - 1) + 1) {
        int first = layers.get(start);
        int last = layers.get(i - 1);
        ranges.add(first == last ? String.valueOf(first) : first + "-" + last);
        start = i;
      }
    }
    return (layers.size() == 1 ? "layer " : "layers ") + String.join(", ", ranges);
  }
}
