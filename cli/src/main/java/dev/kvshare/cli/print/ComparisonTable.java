package dev.kvshare.cli.print;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.cli.command.ComparedMap;
import dev.kvshare.eval.format.ReportFormat;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/**
 * The table of a comparison: a row a size and method. Several maps of one method, as of random
 * seeds, are one row with means; the standard error is then that of the mean over the maps.
 */
public final class ComparisonTable {
  private final List<List<String>> rows = new ArrayList<>();
  private final List<ComparedMap> maps;

  public ComparisonTable(List<ComparedMap> maps) {
    this.maps = List.copyOf(maps);
    List<String> header = new ArrayList<>(List.of("size", "method", "maps", "share"));
    for (ComparedMap.OnText text : maps.get(0).texts()) {
      header.add(text.text() + " plain");
      header.add(text.text() + " repaired");
    }
    header.add("search s");
    header.add("repair s");
    rows.add(header);
    Map<String, List<ComparedMap>> groups = new LinkedHashMap<>();
    maps.forEach(
        map ->
            groups
                .computeIfAbsent(map.size() + " " + map.method(), key -> new ArrayList<>())
                .add(map));
    groups.values().forEach(group -> rows.add(row(group)));
  }

  public String write(ReportFormat format) {
    return switch (format) {
      case TEXT -> text();
      case MARKDOWN -> markdown();
      case CSV -> lines(",", "", "");
      case JSON -> json();
    };
  }

  private static List<String> row(List<ComparedMap> group) {
    ComparedMap first = group.get(0);
    List<String> row = new ArrayList<>();
    row.add(Integer.toString(first.size()));
    row.add(first.method());
    row.add(Integer.toString(group.size()));
    row.add(format("%.3g", mean(group, ComparedMap::sharedLayers)));
    for (int text = 0; text < first.texts().size(); text++) {
      int index = text;
      row.add(
          ratio(
              group,
              map -> map.texts().get(index).plain(),
              map -> map.texts().get(index).plainError()));
      row.add(
          ratio(
              group,
              map -> map.texts().get(index).repaired(),
              map -> map.texts().get(index).repairedError()));
    }
    row.add(format("%.0f", mean(group, ComparedMap::searchSeconds)));
    row.add(format("%.0f", mean(group, ComparedMap::repairSeconds)));
    return row;
  }

  private static String ratio(
      List<ComparedMap> group,
      ToDoubleFunction<ComparedMap> value,
      ToDoubleFunction<ComparedMap> error) {
    double mean = mean(group, value);
    if (group.size() == 1) {
      return format("%.3f ± %.3f", mean, error.applyAsDouble(group.get(0)));
    }
    double squares = mean(group, map -> Math.pow(value.applyAsDouble(map) - mean, 2));
    return format("%.3f ± %.3f", mean, Math.sqrt(squares / (group.size() - 1)));
  }

  private static double mean(List<ComparedMap> group, ToDoubleFunction<ComparedMap> value) {
    return group.stream().mapToDouble(value).average().orElseThrow();
  }

  private String text() {
    TextTable table = new TextTable(rows.get(0));
    rows.stream().skip(1).forEach(table::add);
    StringWriter text = new StringWriter();
    try (PrintWriter out = new PrintWriter(text)) {
      table.print(out);
    }
    return text.toString();
  }

  private String markdown() {
    List<String> lines = new ArrayList<>(lines(" | ", "| ", " |").lines().toList());
    lines.add(1, "|---".repeat(rows.get(0).size()) + "|");
    return String.join("\n", lines) + "\n";
  }

  private String lines(String between, String before, String after) {
    StringBuilder text = new StringBuilder();
    rows.forEach(
        row -> text.append(before).append(String.join(between, row)).append(after).append('\n'));
    return text.toString();
  }

  private String json() {
    try {
      return new ObjectMapper().writerWithDefaultPrettyPrinter().writeValueAsString(maps) + "\n";
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String format(String pattern, double... values) {
    return switch (values.length) {
      case 1 -> String.format(Locale.ROOT, pattern, values[0]);
      default -> String.format(Locale.ROOT, pattern, values[0], values[1]);
    };
  }
}
