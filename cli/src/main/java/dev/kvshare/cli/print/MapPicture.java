package dev.kvshare.cli.print;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Draws a sharing plan with characters: one mark a layer, and below who reads whom. */
public final class MapPicture {
  private static final int LAYERS_A_LINE = 32;
  private static final int READERS_A_LINE = 6;

  private MapPicture() {}

  public static List<String> lines(Plan plan) {
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
        map.isIdentity() && !plan.windowedLayers().isEmpty()
            ? "    ● keeps its own keys and values"
            : "    ● keeps its own keys and values   ○ reads those of another layer");
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
    List<String> readers = new ArrayList<>();
    for (int layer = 0; layer < map.layers(); layer++) {
      if (map.source(layer) != layer) {
        readers.add(layer + " reads " + map.source(layer));
      }
    }
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
}
