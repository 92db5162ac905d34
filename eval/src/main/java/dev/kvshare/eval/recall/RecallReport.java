package dev.kvshare.eval.recall;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.eval.format.Chart;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.format.Table;
import dev.kvshare.eval.quality.Variant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * How much is found again, the worst first.
 *
 * @param rows by context, of each the unshared model first
 * @param settings what was asked
 * @param run what is needed to measure it again
 * @param warnings sentences for the user
 */
public record RecallReport(
    List<Row> rows, RecallSettings settings, ObjectNode run, List<String> warnings) {
  /** The unshared model finds one in so many answers, or a task says nothing. */
  private static final int TELLING = 5;

  /** Of a normal distribution, for an interval of 95 %. */
  private static final double Z = 1.959963984540054;

  /** What the rows for programs have of each task. */
  private static final Map<String, ToDoubleFunction<Score>> NUMBERS = numbers();

  /** Shares of the cache that count as equal. */
  private static final double SLACK = 0.005;

  /**
   * The answer to one question.
   *
   * @param question 0 for a first question of a context, 1 for a second one
   * @param depth where the context tells it, from 0 to 1
   * @param found how much of what is wanted the answer has, from 0 to 1, which is RULER's score
   */
  public record Outcome(int question, double depth, double found) {
    boolean exact() {
      return found == 1;
    }
  }

  /** Answers to the questions of one task. */
  public record Score(List<Outcome> outcomes) {
    public Score {
      outcomes = List.copyOf(outcomes);
    }

    static Score of(List<RecallItem> items, List<List<String>> answers) {
      List<Outcome> outcomes = new ArrayList<>();
      for (int item = 0; item < items.size(); item++) {
        for (int question = 0; question < 2; question++) {
          RecallItem.Question asked = items.get(item).questions().get(question);
          double found = asked.found(answers.get(item).get(question));
          outcomes.add(new Outcome(question, asked.depth(), found / asked.wanted().size()));
        }
      }
      return new Score(outcomes);
    }

    /** How many questions were asked. */
    public int questions() {
      return outcomes.size();
    }

    /** The share of exact answers. */
    public double exact() {
      return share(outcome -> true);
    }

    /** The share of exact answers to first (0) or second (1) questions. */
    public double exact(int question) {
      return share(outcome -> outcome.question() == question);
    }

    /** The share of exact answers to what stands in this third of a context, NaN for none. */
    public double exactInThird(int third) {
      return share(outcome -> Math.min(2, (int) (3 * outcome.depth())) == third);
    }

    private double share(Predicate<Outcome> counted) {
      return outcomes.stream()
          .filter(counted)
          .mapToDouble(outcome -> outcome.exact() ? 1 : 0)
          .average()
          .orElse(Double.NaN);
    }

    /** The mean share of what is wanted that answers have. */
    public double found() {
      return outcomes.stream().mapToDouble(Outcome::found).average().orElseThrow();
    }

    /** The lower end of Wilson's interval of 95 % for the share of exact answers. */
    public double low() {
      return Math.max(0, middle() - reach());
    }

    /** The upper end. */
    public double high() {
      return Math.min(1, middle() + reach());
    }

    private double middle() {
      return (exact() + Z * Z / (2 * questions())) / (1 + Z * Z / questions());
    }

    private double reach() {
      double n = questions();
      return Z * Math.sqrt(exact() * (1 - exact()) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n);
    }

    /** Of the unshared model: whether it answers enough for others to be compared with it. */
    boolean tells() {
      return TELLING * exact() >= 1;
    }
  }

  /**
   * One way to run the model, at one length.
   *
   * @param context tokens of the passages
   * @param policy the name of the policy, or null for the unshared model
   * @param cache the name of the cache policy, or null
   * @param baseline whether it is one of the simple baselines
   * @param kvFraction bytes of the KV cache of a context as a fraction of the unshared model's
   * @param scores of the tasks that were asked
   */
  public record Row(
      int context,
      String policy,
      String cache,
      boolean baseline,
      double kvFraction,
      Map<RecallTask, Score> scores) {

    String name() {
      String name = policy == null ? Variant.UNSHARED : policy;
      return cache == null ? name : name + " with " + cache;
    }

    /** The same numbers of another variant that runs in the same way. */
    public Row of(Variant variant, boolean isBaseline) {
      String cacheName = isBaseline ? null : variant.cache();
      return new Row(context, variant.policy(), cacheName, isBaseline, kvFraction, scores);
    }

    boolean isUnshared() {
      return policy == null && cache == null;
    }
  }

  /**
   * What a row loses in one task.
   *
   * @param points percentage points of exact answers
   */
  private record Drop(RecallTask task, double points) {}

  public RecallReport {
    rows = List.copyOf(rows);
    warnings = List.copyOf(warnings);
  }

  private Row unshared(int context) {
    return rows.stream()
        .filter(row -> row.isUnshared() && row.context() == context)
        .findFirst()
        .orElseThrow();
  }

  private Drop drop(Row row, RecallTask task) {
    double before = unshared(row.context()).scores().get(task).exact();
    return new Drop(task, 100 * (before - row.scores().get(task).exact()));
  }

  /** The tasks that say something at a length. */
  private List<RecallTask> telling(int context) {
    Row unshared = unshared(context);
    return settings.tasks().stream().filter(task -> unshared.scores().get(task).tells()).toList();
  }

  /** The task in which a row loses most; empty where no task says anything. */
  private Optional<Drop> worst(Row row) {
    return telling(row.context()).stream()
        .map(task -> drop(row, task))
        .max(Comparator.comparingDouble(Drop::points));
  }

  private double points(Row row) {
    return worst(row).map(Drop::points).orElse(Double.NEGATIVE_INFINITY);
  }

  private double meanDrop(Row row) {
    return telling(row.context()).stream()
        .mapToDouble(task -> drop(row, task).points())
        .average()
        .orElse(Double.NaN);
  }

  /** A line a policy and length, the worst drop first; for programs one a task as well. */
  public Report report() {
    List<Row> sorted =
        rows.stream()
            .sorted(
                Comparator.comparing(Row::isUnshared)
                    .thenComparing(row -> -points(row))
                    .thenComparing(row -> -meanDrop(row)))
            .toList();
    List<List<String>> cells = new ArrayList<>();
    List<String> head =
        new ArrayList<>(List.of("policy", "context", "KV cache", "worst drop", "in"));
    settings.tasks().forEach(task -> head.add(task.title()));
    cells.add(head);
    List<ObjectNode> objects = new ArrayList<>();
    for (Row row : sorted) {
      cells.add(cells(row));
      settings.tasks().forEach(task -> objects.add(object(row, task)));
    }
    ObjectNode about = Report.newRow();
    about.set("run", run);
    return new Report(cells, objects, about, notes(sorted), warnings, charts(sorted));
  }

  private List<String> cells(Row row) {
    Optional<Drop> worst = row.isUnshared() ? Optional.empty() : worst(row);
    List<String> cells = new ArrayList<>();
    cells.add(row.name());
    cells.add(Table.format("%,d", row.context()));
    cells.add(
        Double.isNaN(row.kvFraction()) ? "-" : Table.format("%.1f %%", 100 * row.kvFraction()));
    cells.add(worst.map(drop -> Table.format("%.0f points", drop.points())).orElse(""));
    cells.add(worst.map(drop -> drop.task().title()).orElse(""));
    for (RecallTask task : settings.tasks()) {
      Score score = row.scores().get(task);
      String cell = score == null ? "-" : words(score);
      cells.add(score != null && !telling(row.context()).contains(task) ? "[" + cell + "]" : cell);
    }
    return cells;
  }

  private static Map<String, ToDoubleFunction<Score>> numbers() {
    Map<String, ToDoubleFunction<Score>> numbers = new LinkedHashMap<>();
    numbers.put("exact", Score::exact);
    numbers.put("exact_low", Score::low);
    numbers.put("exact_high", Score::high);
    numbers.put("exact_first_question", score -> score.exact(0));
    numbers.put("exact_second_question", score -> score.exact(1));
    numbers.put("exact_first_third", score -> score.exactInThird(0));
    numbers.put("exact_middle_third", score -> score.exactInThird(1));
    numbers.put("exact_last_third", score -> score.exactInThird(2));
    numbers.put("found", Score::found);
    return numbers;
  }

  private static String words(Score score) {
    return Table.format(
        "%.0f %% (%.0f-%.0f)", 100 * score.exact(), 100 * score.low(), 100 * score.high());
  }

  private ObjectNode object(Row row, RecallTask task) {
    boolean tells = telling(row.context()).contains(task);
    Score score = row.scores().get(task);
    ObjectNode node = Report.newRow();
    node.put("policy", row.policy());
    node.put("cache", row.cache());
    node.put("context", row.context());
    Report.putNumber(node, "kv_fraction", row.kvFraction());
    node.put("task", task.title());
    node.put("says_something", tells);
    node.put("questions", score == null ? 0 : score.questions());
    NUMBERS.forEach(
        (name, number) ->
            Report.putNumber(node, name, score == null ? Double.NaN : number.applyAsDouble(score)));
    Report.putNumber(node, "drop", tells ? drop(row, task).points() / 100 : Double.NaN);
    return node;
  }

  private List<String> notes(List<Row> sorted) {
    List<String> notes = new ArrayList<>();
    sorted.stream()
        .filter(row -> !row.isUnshared() && points(row) > 0)
        .findFirst()
        .ifPresent(row -> notes.add("The worst: " + loss(row) + "."));
    notes.add(
        "%d passages a task, each with two questions that are asked of the same cache, filled before any question was known. Answers are written greedily; exact ones have all that is wanted. In parentheses stands Wilson's interval of 95 %%."
            .formatted(settings.passages()));
    for (int context : settings.contexts()) {
      List<RecallTask> telling = telling(context);
      String silent =
          settings.tasks().stream()
              .filter(task -> !telling.contains(task))
              .map(RecallTask::title)
              .collect(Collectors.joining(", "));
      if (!silent.isEmpty()) {
        notes.add(
            Table.format(
                "%s at %,d tokens: says nothing, as the unshared model answers fewer than one in five. The policies were not asked.",
                silent, context));
      }
    }
    rows.stream()
        .filter(row -> !row.baseline() && !row.isUnshared())
        .forEach(row -> comparison(row).ifPresent(notes::add));
    return notes;
  }

  private String loss(Row row) {
    Drop drop = worst(row).orElseThrow();
    return Table.format(
        "%s loses %.0f points in %s at %,d tokens, from %.0f to %.0f %% of the answers",
        row.name(),
        drop.points(),
        drop.task().title(),
        row.context(),
        100 * unshared(row.context()).scores().get(drop.task()).exact(),
        100 * row.scores().get(drop.task()).exact());
  }

  /** Whether a baseline that keeps no more loses less where it loses most. */
  private Optional<String> comparison(Row row) {
    if (worst(row).isEmpty()) {
      return Optional.empty();
    }
    return rows.stream()
        .filter(other -> other.baseline() && other.context() == row.context())
        .filter(other -> other.kvFraction() <= row.kvFraction() + SLACK)
        .min(Comparator.comparingDouble(this::points).thenComparingDouble(this::meanDrop))
        .map(
            best -> {
              double difference = points(row) - points(best);
              String start =
                  difference > 0
                      ? "%s at %,d tokens: a simple baseline that keeps no more wins, %s. It loses"
                      : difference < 0
                          ? "%s at %,d tokens: no baseline that keeps as little does as well. The best, %s, loses"
                          : "%s at %,d tokens: a simple baseline that keeps no more does as well, %s. It loses";
              return Table.format(
                  start + " %.0f points where it loses most, the policy %.0f.",
                  row.name(),
                  row.context(),
                  best.policy(),
                  points(best),
                  points(row));
            });
  }

  private List<Chart> charts(List<Row> sorted) {
    List<Chart> charts = new ArrayList<>();
    for (int context : settings.contexts()) {
      String at = Table.format(" at %,d tokens", context);
      List<Row> here = sorted.stream().filter(row -> row.context() == context).toList();
      if (telling(context).isEmpty()) {
        continue;
      }
      charts.add(
          new Chart(
              "Worst drop against what is kept" + at,
              "Percentage points of exact answers that a policy loses in the task in which it loses most. The lower left corner is best.",
              Chart.Kind.POINTS,
              "KV cache kept, %",
              "worst drop, points",
              here.stream()
                  .map(
                      row ->
                          new Chart.Series(
                              row.name(),
                              List.of(
                                  new Chart.Point(
                                      100 * row.kvFraction(),
                                      row.isUnshared() ? 0 : points(row),
                                      0))))
                  .toList()));
      charts.add(byDepth(context, here));
      for (RecallTask task : telling(context)) {
        charts.add(
            new Chart(
                task.title() + at,
                "%s (RULER, section %s). Exact answers of %d; the table has the intervals."
                    .formatted(task.description(), task.section(), 2 * settings.passages()),
                Chart.Kind.BARS,
                "exact answers, %",
                "policy",
                here.stream()
                    .map(row -> Chart.bar(row.name(), 100 * row.scores().get(task).exact(), 0))
                    .toList()));
      }
    }
    if (settings.contexts().size() > 1) {
      charts.add(0, byContext());
    }
    return charts;
  }

  private Chart byDepth(int context, List<Row> here) {
    return new Chart(
        Table.format("What is found by depth at %,d tokens", context),
        "Mean share of exact answers in the tasks that say something, by the third of the context in which the answer begins.",
        Chart.Kind.LINES,
        "depth, %",
        "exact answers, %",
        here.stream()
            .map(
                row ->
                    new Chart.Series(
                        row.name(),
                        IntStream.range(0, 3)
                            .mapToObj(
                                third ->
                                    new Chart.Point(
                                        100 * (third + 0.5) / 3,
                                        mean(row, score -> score.exactInThird(third)),
                                        0))
                            .toList()))
            .toList());
  }

  /** Rows that there are at several lengths. */
  private Chart byContext() {
    List<String> names = rows.stream().map(Row::name).distinct().toList();
    return new Chart(
        "What is found by length",
        "Mean share of exact answers in the tasks that say something at that length.",
        Chart.Kind.LINES,
        "tokens",
        "exact answers, %",
        names.stream()
            .map(
                name ->
                    new Chart.Series(
                        name,
                        rows.stream()
                            .filter(row -> Objects.equals(row.name(), name))
                            .filter(row -> !telling(row.context()).isEmpty())
                            .map(row -> new Chart.Point(row.context(), mean(row, Score::exact), 0))
                            .toList()))
            .filter(series -> series.points().size() > 1)
            .toList());
  }

  /** In percent, over the tasks that say something and have such a number. */
  private double mean(Row row, ToDoubleFunction<Score> number) {
    return telling(row.context()).stream()
        .mapToDouble(task -> 100 * number.applyAsDouble(row.scores().get(task)))
        .filter(Double::isFinite)
        .average()
        .orElse(Double.NaN);
  }
}
