package dev.kvshare.calibrate.report;

import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.ArrayList;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Locale;

/** Draws the lower triangle of a distance matrix with characters: the darker, the farther apart. */
public final class TextHeatMap {
  /** More layers than this do not fit into the width of a terminal. */
  public static final int MAX_LAYERS = 38;

  private static final String SHADES = "·░▒▓█";

  private TextHeatMap() {}

  public static List<String> lines(DistanceMatrix distances) {
    DoubleSummaryStatistics range =
        distances.pairs().stream().mapToDouble(DistanceMatrix.Pair::distance).summaryStatistics();
    List<String> lines = new ArrayList<>();
    for (int layer = 1; layer < distances.layers(); layer++) {
      StringBuilder line = new StringBuilder(String.format(Locale.ROOT, "%3d ", layer));
      for (int source = 0; source < layer; source++) {
        line.append(shade(distances.distance(layer, source), range).repeat(2));
      }
      lines.add(line.toString().stripTrailing());
    }
    StringBuilder axis = new StringBuilder("    ");
    for (int source = 0; source < distances.layers() - 1; source++) {
      axis.append(source % 5 == 0 ? String.format(Locale.ROOT, "%-2d", source) : "  ");
    }
    lines.add(axis.toString().stripTrailing());
    lines.add(
        String.format(
            Locale.ROOT,
            "    %s alike (%.2f) to %s different (%.2f); blank: must not share",
            SHADES.charAt(0),
            range.getMin(),
            SHADES.charAt(SHADES.length() - 1),
            range.getMax()));
    return lines;
  }

  private static String shade(double distance, DoubleSummaryStatistics range) {
    if (Double.isNaN(distance)) {
      return " ";
    }
    double width = range.getMax() - range.getMin();
    int level = width == 0 ? 0 : (int) ((distance - range.getMin()) / width * SHADES.length());
    return String.valueOf(SHADES.charAt(Math.min(level, SHADES.length() - 1)));
  }
}
