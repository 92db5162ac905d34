package dev.kvshare.eval.speed;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.MemorySize;
import dev.kvshare.eval.format.Chart;
import dev.kvshare.eval.format.Chart.Series;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.format.Table;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.speed.ContextMeter.Decoded;
import dev.kvshare.eval.speed.ContextMeter.Side;
import dev.kvshare.eval.speed.ContextMeter.Step;
import dev.kvshare.eval.speed.ContextMeter.Turns;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;

/**
 * Speed and memory by context: a row for each context, number of sequences and variant.
 *
 * @param turns what was measured, by context and variant
 * @param run what is needed to measure it again
 * @param notes what was left out
 */
public record ContextReport(List<Turns> turns, ObjectNode run, List<String> notes) {
  private static final double MEBIBYTE = 1 << 20;

  /**
   * A row.
   *
   * @param own whether it is that of a policy, not of the unshared model
   * @param turns of its variant; of the unshared model those beside all variants
   * @param step which of the steps of these
   */
  private record Row(boolean own, List<Turns> turns, int step) {
    Turns first() {
      return turns.get(0);
    }

    Step one() {
      return first().steps().get(step);
    }

    int side() {
      return own ? one().own() : 0;
    }

    Decoded decoded() {
      return one().sides().get(side());
    }

    String name() {
      return own ? first().policy() : Variant.UNSHARED;
    }

    double median(ToDoubleFunction<Turns> value) {
      return SpeedMeter.median(turns.stream().mapToDouble(value).toArray());
    }

    double tokensPerSecond() {
      return median(each -> each.steps().get(step).sides().get(side()).tokensPerSecond());
    }

    double prefillTokensPerSecond() {
      return step > 0
          ? Double.NaN
          : median(each -> each.promptTokens() / each.sides().get(side()).prefillSeconds());
    }

    /** Against the unshared model in the same turns. */
    double ratio() {
      return decoded().tokensPerSecond() / one().sides().get(0).tokensPerSecond();
    }

    double prefillRatio() {
      List<Side> sides = first().sides();
      return step > 0
          ? Double.NaN
          : sides.get(0).prefillSeconds() / sides.get(side()).prefillSeconds();
    }
  }

  /** The rows as they are printed. */
  public Report report() {
    List<List<String>> cells = new ArrayList<>();
    cells.add(
        List.of(
            "policy",
            "context",
            "sequences",
            "KV cache",
            "prefill tokens/s",
            "prefill ratio",
            "decode tokens/s",
            "decode ratio"));
    List<ObjectNode> objects = new ArrayList<>();
    for (Row row : rows()) {
      cells.add(cells(row));
      objects.add(object(row));
    }
    ObjectNode about = Report.newRow();
    ArrayNode crossings = about.putArray("crossings");
    List<String> said = new ArrayList<>();
    for (List<Turns> policy : byPolicy().values()) {
      said.add(crossings(policy, crossings));
    }
    rows().stream()
        .filter(row -> row.own() && row.one().budget())
        .map(this::budget)
        .forEach(said::add);
    if (!said.isEmpty()) {
      said.add(
          "Faster means by %.0f %% of the time or more, in what was measured. Times are medians over prompts and tokens at which the policy and the unshared model took turns%s."
              .formatted(
                  100 * Crossing.LEAST,
                  run.at("/speed_by_context/clock").asText().equals("processor")
                      ? ", of the processor time of one thread"
                      : "; a disturbed machine moves both"));
    }
    said.addAll(notes);
    about.set("run", run);
    return new Report(cells, objects, about, said, List.of(), charts());
  }

  /** By context and number of sequences, the unshared model before the others. */
  private List<Row> rows() {
    List<Row> rows = new ArrayList<>();
    Map<Integer, List<Turns>> contexts = group(Turns::context);
    for (List<Turns> at : contexts.values()) {
      for (int step = 0; step < at.get(0).steps().size(); step++) {
        rows.add(new Row(false, at, step));
        for (Turns each : at) {
          if (each.sides().size() > 1) {
            rows.add(new Row(true, List.of(each), step));
          }
        }
      }
    }
    return rows;
  }

  private Map<String, List<Turns>> byPolicy() {
    Map<String, List<Turns>> policies = group(Turns::policy);
    policies.values().removeIf(each -> each.get(0).sides().size() == 1);
    return policies;
  }

  private <K> Map<K, List<Turns>> group(Function<Turns, K> key) {
    Map<K, List<Turns>> groups = new LinkedHashMap<>();
    turns.forEach(
        each -> groups.computeIfAbsent(key.apply(each), k -> new ArrayList<>()).add(each));
    return groups;
  }

  private static List<String> cells(Row row) {
    Step step = row.one();
    String sequences = Table.format("%,d", row.decoded().sequences());
    boolean prefill = row.step() == 0;
    return List.of(
        row.name(),
        Table.format("%,d", row.first().context()),
        step.budget() ? sequences + " in budget" : sequences,
        MemorySize.text(row.decoded().kvBytes()),
        prefill ? Table.number(row.prefillTokensPerSecond()) : "-",
        prefill ? Table.format("%.2f", row.prefillRatio()) : "-",
        Table.number(row.tokensPerSecond()),
        Table.format("%.2f", row.ratio()));
  }

  private ObjectNode object(Row row) {
    ObjectNode node = Report.newRow();
    Step step = row.one();
    Side side = row.first().sides().get(row.side());
    node.put("policy", row.own() ? row.first().policy() : null);
    node.put("context", row.first().context());
    node.put("prompt_tokens", row.first().promptTokens());
    node.put("sequences", row.decoded().sequences());
    node.put("in_budget", step.budget());
    node.put("kv_bytes", row.decoded().kvBytes());
    node.put("kv_bytes_per_sequence", side.kvBytes());
    node.put("most_kv_bytes_of_prompt", side.mostBytes());
    node.put("prefill_runs", row.step() == 0 ? side.prefillRuns() : 0);
    Report.putNumber(node, "prefill_tokens_per_second", row.prefillTokensPerSecond());
    Report.putNumber(node, "prefill_ratio", row.prefillRatio());
    Report.putNumber(node, "decode_tokens_per_second", row.tokensPerSecond());
    Report.putNumber(node, "decode_ratio", row.ratio());
    return node;
  }

  /** One sentence for people; what it says is added for programs. */
  private static String crossings(List<Turns> policy, ArrayNode objects) {
    List<String> words = new ArrayList<>();
    List<Integer> batches =
        List.copyOf(
            new TreeSet<>(
                policy.stream()
                    .flatMap(turns -> turns.steps().stream())
                    .filter(step -> !step.budget())
                    .map(step -> step.sides().get(0).sequences())
                    .toList()));
    for (int batch : batches) {
      List<Integer> contexts = new ArrayList<>();
      List<double[]> seconds = new ArrayList<>();
      for (Turns turns : policy) {
        for (Step step : turns.steps()) {
          if (!step.budget() && step.sides().get(0).sequences() == batch) {
            contexts.add(turns.context());
            seconds.add(step.sides().stream().mapToDouble(Decoded::seconds).toArray());
          }
        }
      }
      Crossing crossing = crossing(contexts, seconds);
      objects.add(object(policy.get(0).policy(), "decode", batch, contexts, crossing));
      words.add(
          "Decoding %s: %s."
              .formatted(
                  batch == 1 ? "one sequence" : batch + " sequences at once", crossing.words()));
    }
    List<Integer> contexts = policy.stream().map(Turns::context).toList();
    Crossing prompts =
        crossing(
            contexts,
            policy.stream()
                .map(Turns::sides)
                .map(sides -> sides.stream().mapToDouble(Side::prefillSeconds).toArray())
                .toList());
    objects.add(object(policy.get(0).policy(), "prefill", 1, contexts, prompts));
    words.add("Reading a prompt: %s.".formatted(prompts.words()));
    return "%s, measured at %s. %s"
        .formatted(policy.get(0).policy(), Crossing.tokens(contexts), String.join(" ", words));
  }

  private static Crossing crossing(List<Integer> contexts, List<double[]> seconds) {
    return Crossing.of(
        contexts,
        seconds.stream().mapToDouble(both -> both[0]).toArray(),
        seconds.stream().mapToDouble(both -> both[1]).toArray());
  }

  private static ObjectNode object(
      String policy, String what, int batch, List<Integer> contexts, Crossing crossing) {
    ObjectNode node = Report.newRow();
    node.put("policy", policy);
    node.put("what", what);
    node.put("sequences", batch);
    node.put("faster", crossing.place().name().toLowerCase(Locale.ROOT));
    Report.putNumber(node, "from_tokens", Math.rint(crossing.fromTokens()));
    contexts.forEach(node.putArray("measured_contexts")::add);
    crossing.faster().forEach(node.putArray("faster_contexts")::add);
    return node;
  }

  private String budget(Row row) {
    return Table.format(
        "A KV budget of %s at %,d tokens holds %d sequences unshared and %d under %s, which then decodes %.2f times as many tokens a second.",
        MemorySize.text(row.one().sides().get(0).kvBytes()),
        row.first().context(),
        row.one().sides().get(0).sequences(),
        row.decoded().sequences(),
        row.name(),
        row.ratio());
  }

  private List<Chart> charts() {
    List<Chart> charts = new ArrayList<>();
    List<Integer> batches =
        rows().stream()
            .filter(row -> !row.one().budget())
            .map(row -> row.one().sides().get(0).sequences())
            .distinct()
            .toList();
    String turns = "Medians; each policy and the unshared model took turns, token by token.";
    for (int batch : batches) {
      String title = batch == 1 ? "Decoding one sequence" : "Decoding %d sequences at once";
      charts.add(
          curves(
              title.formatted(batch),
              turns,
              "tokens a second",
              row -> !row.one().budget() && row.one().sides().get(0).sequences() == batch,
              Row::tokensPerSecond));
    }
    charts.add(
        curves(
            "Reading a prompt",
            turns,
            "tokens a second",
            row -> row.step() == 0,
            Row::prefillTokensPerSecond));
    charts.add(
        curves(
            "KV cache of one sequence",
            "As allocated at the end of the context.",
            "MiB",
            row -> row.step() == 0,
            row -> row.decoded().kvBytes() / MEBIBYTE));
    Map<Integer, List<Series>> budgets = new LinkedHashMap<>();
    for (Row row : rows()) {
      if (row.one().budget()) {
        String name = "%s, %d sequences".formatted(row.name(), row.decoded().sequences());
        budgets
            .computeIfAbsent(row.first().context(), context -> new ArrayList<>())
            .add(Chart.bar(name, row.tokensPerSecond(), 0));
      }
    }
    budgets.forEach(
        (context, bars) ->
            charts.add(
                new Chart(
                    Table.format("Decoding in one KV budget at %,d tokens", context),
                    "As many sequences at once as the budget holds.",
                    Chart.Kind.BARS,
                    "tokens a second",
                    "policy",
                    bars)));
    return charts;
  }

  private Chart curves(
      String title, String note, String y, Predicate<Row> which, ToDoubleFunction<Row> value) {
    Map<String, List<Chart.Point>> series = new LinkedHashMap<>();
    for (Row row : rows()) {
      if (which.test(row)) {
        series
            .computeIfAbsent(row.name(), name -> new ArrayList<>())
            .add(new Chart.Point(row.first().context(), value.applyAsDouble(row), 0));
      }
    }
    return new Chart(
        title,
        note,
        Chart.Kind.CURVES,
        "context, tokens",
        y,
        series.entrySet().stream().map(e -> new Series(e.getKey(), e.getValue())).toList());
  }
}
