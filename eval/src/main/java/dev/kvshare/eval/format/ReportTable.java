package dev.kvshare.eval.format;

import java.util.Collections;
import java.util.List;
import java.util.Locale;

/** Writes a report as a table for people. */
public final class ReportTable {
  private ReportTable() {}

  public static String text(List<List<String>> cells) {
    StringBuilder out = new StringBuilder();
    int[] widths = widths(cells);
    for (List<String> row : cells) {
      StringBuilder line = new StringBuilder(pad(row.get(0), -widths[0]));
      for (int column = 1; column < row.size(); column++) {
        line.append("  ").append(pad(row.get(column), widths[column]));
      }
      out.append(line.toString().stripTrailing()).append('\n');
    }
    return out.toString();
  }

  public static String markdown(List<List<String>> cells) {
    StringBuilder out = new StringBuilder();
    for (int row = 0; row < cells.size(); row++) {
      out.append("| ").append(String.join(" | ", escaped(cells.get(row)))).append(" |\n");
      if (row == 0) {
        out.append("|---|")
            .append(String.join("", Collections.nCopies(cells.get(0).size() - 1, "---:|")))
            .append('\n');
      }
    }
    return out.toString();
  }

  /** Four significant digits or so; whole numbers from a thousand on. */
  public static String number(double value) {
    double size = Math.abs(value);
    if (size >= 1000) {
      return size < 1e7 ? format("%,.0f", value) : format("%.3e", value);
    }
    return format(size >= 100 ? "%.1f" : size >= 10 ? "%.2f" : "%.3f", value);
  }

  public static String format(String pattern, Object... arguments) {
    return String.format(Locale.ROOT, pattern, arguments);
  }

  private static List<String> escaped(List<String> row) {
    return row.stream().map(cell -> cell.replace("|", "\\|")).toList();
  }

  private static int[] widths(List<List<String>> cells) {
    int[] widths = new int[cells.get(0).size()];
    for (List<String> row : cells) {
      for (int column = 0; column < row.size(); column++) {
        widths[column] = Math.max(widths[column], row.get(column).length());
      }
    }
    return widths;
  }

  /** Pads on the left to {@code width}, on the right if it is negative. */
  private static String pad(String text, int width) {
    return String.format(Locale.ROOT, "%" + width + "s", text);
  }
}
