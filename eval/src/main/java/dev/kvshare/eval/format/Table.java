package dev.kvshare.eval.format;

import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** Prints rows of cells in aligned columns; all rows have as many cells as the first. */
public final class Table {
  private static final String GAP = "  ";

  private Table() {}

  /** Columns of words, each flush left; lines end with line feeds. */
  public static String words(List<List<String>> rows) {
    return aligned(rows, rows.isEmpty() ? 0 : rows.get(0).size());
  }

  /** A first column of words and others of numbers, which are flush right. */
  public static String numbers(List<List<String>> rows) {
    return aligned(rows, 1);
  }

  /** The same in Markdown; the first row is the head. */
  public static String markdown(List<List<String>> rows) {
    StringBuilder out = new StringBuilder();
    for (List<String> row : rows) {
      out.append("| ")
          .append(
              row.stream().map(cell -> cell.replace("|", "\\|")).collect(Collectors.joining(" | ")))
          .append(" |\n");
      if (row == rows.get(0)) {
        out.append("|---|").append("---:|".repeat(row.size() - 1)).append('\n');
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

  /** {@link String#format} whatever the locale of the machine. */
  public static String format(String pattern, Object... arguments) {
    return String.format(Locale.ROOT, pattern, arguments);
  }

  private static String aligned(List<List<String>> rows, int words) {
    StringBuilder out = new StringBuilder();
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder();
      for (int c = 0; c < row.size(); c++) {
        int column = c;
        int width = rows.stream().mapToInt(other -> other.get(column).length()).max().orElse(0);
        String blanks = " ".repeat(width - row.get(c).length());
        line.append(c == 0 ? "" : GAP)
            .append(c < words ? row.get(c) + blanks : blanks + row.get(c));
      }
      out.append(line.toString().stripTrailing()).append('\n');
    }
    return out.toString();
  }
}
