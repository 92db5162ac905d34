package dev.kvshare.eval;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

/** Writes a report as a table for people. */
final class ReportTable {
  private ReportTable() {}

  static String text(EvaluationReport report) {
    List<List<String>> cells = cells(report);
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

  static String markdown(EvaluationReport report) {
    List<List<String>> cells = cells(report);
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

  private static List<String> escaped(List<String> row) {
    return row.stream().map(cell -> cell.replace("|", "\\|")).toList();
  }

  private static List<List<String>> cells(EvaluationReport report) {
    boolean withSpeed = report.rows().get(0).speed() != null;
    boolean withCache = report.rows().get(0).cache() != null;
    List<List<String>> cells = new ArrayList<>();
    List<String> head =
        new ArrayList<>(List.of("policy", "perplexity", "ratio", "divergence", "same token"));
    if (withCache) {
      head.add(1, "cache");
      head.addAll(List.of("sharing", "x method", "= KV cache", "KV bytes"));
    } else {
      head.addAll(List.of("KV cache", "KV bytes/token"));
    }
    if (withSpeed) {
      head.addAll(List.of("prefill tokens/s", "decode tokens/s", "prefill ms"));
    }
    cells.add(head);
    report.rows().forEach(row -> cells.add(cells(row)));
    return cells;
  }

  private static List<String> cells(EvaluationRow row) {
    List<String> cells = new ArrayList<>();
    cells.add(row.policy() == null ? "(unshared)" : row.policy());
    cells.add(
        "%s ± %s"
            .formatted(number(row.perplexity().value()), number(row.perplexity().standardError())));
    boolean first = row.policy() == null && (row.cache() == null || row.cache().policy() == null);
    cells.add(first ? "1" : ratio(row.ratio()));
    cells.add(format("%.4f", row.divergence()));
    cells.add(format("%.1f %%", 100 * row.agreement()));
    CacheSavings cache = row.cache();
    if (cache != null) {
      cells.add(1, cache.policy() == null ? "(all)" : cache.policy());
      cells.add(format("%.1f %%", 100 * cache.sharingFraction()));
      cells.add(format("%.1f %%", 100 * cache.policyFraction()));
    }
    cells.add(format("%.1f %%", 100 * row.kvFraction()));
    cells.add(format("%,d", cache == null ? row.kvBytesPerToken() : cache.bytes()));
    if (row.speed() != null) {
      cells.add(number(row.speed().prefillTokensPerSecond()));
      cells.add(number(row.speed().decodeTokensPerSecond()));
      cells.add(number(1000 * row.speed().prefillSeconds()));
    }
    return cells;
  }

  private static String ratio(Estimate ratio) {
    return Double.isNaN(ratio.standardError())
        ? format("%.3f", ratio.value())
        : format("%.3f ± %.3f", ratio.value(), ratio.standardError());
  }

  /** Four significant digits or so; whole numbers from a thousand on. */
  private static String number(double value) {
    double size = Math.abs(value);
    if (size >= 1000) {
      return size < 1e7 ? format("%,.0f", value) : format("%.3e", value);
    }
    return format(size >= 100 ? "%.1f" : size >= 10 ? "%.2f" : "%.3f", value);
  }

  private static String format(String pattern, Object... arguments) {
    return String.format(Locale.ROOT, pattern, arguments);
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
