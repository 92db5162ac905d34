package dev.kvshare.calibrate.report;

import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Policy.Savings;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.apply.policy.Provenance.Validation;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SimilarityMeter;
import dev.kvshare.calibrate.search.SearchOutcome;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Everything that the page shows, formatted.
 *
 * @param title the headline
 * @param subject model and data
 * @param summary the result in sentences
 * @param reached whether the wanted size was reached
 * @param figures the numbers to see first
 * @param recall what is found again in long texts, null where that was not measured
 * @param map the map as a picture
 * @param sources the map as text, a source a line
 * @param scores what each action costs; null where none was scored
 * @param heatMap the distances
 * @param steps the similarities by step
 * @param log the tested candidates
 * @param skipped pairs passed over
 * @param facts model, data and settings
 */
record ReportPage(
    String title,
    String subject,
    String summary,
    boolean reached,
    List<Figure> figures,
    RecallTable recall,
    MapPicture map,
    List<String> sources,
    ScorePicture scores,
    HeatMap heatMap,
    StepChart steps,
    List<LogRow> log,
    int skipped,
    List<Fact> facts) {

  /** A number with its name and a note. */
  record Figure(String name, String value, String note) {}

  /** A line of the table of model, data and settings. */
  record Fact(String name, String value) {}

  /** A sentence, and a row of cells for each kind of passage. */
  record RecallTable(String sentence, List<List<String>> rows) {
    static RecallTable of(Recall recall) {
      if (recall == null || recall.context() == null) {
        return null;
      }
      String words = recall.words();
      return new RecallTable(
          words.substring(0, 1).toUpperCase(Locale.ROOT) + words.substring(1) + ".",
          List.of(
              row("one number in the text", recall.singleKey()),
              row("four numbers, one asked for", recall.fourKeys())));
    }

    private static List<String> row(String kind, Recall.Answers answers) {
      String unshared = "%d of %d".formatted(answers.unsharedExact(), answers.passages());
      String likelihood = format("%.3f", answers.unsharedLogLikelihood());
      return answers.tells()
          ? List.of(
              kind,
              unshared,
              "%d of %d".formatted(answers.exact(), answers.passages()),
              likelihood,
              format("%.3f", answers.logLikelihood()),
              format("%.4f", answers.divergence()))
          : List.of(kind, unshared, "says nothing", likelihood, "\u2013", "\u2013");
    }
  }

  static ReportPage of(Report.Content result) {
    SearchOutcome outcome = result.outcome();
    SharingMap map = outcome.map();
    return new ReportPage(
        "%d of %d layers %s"
            .formatted(
                outcome.plan().reducedLayers(),
                map.layers(),
                outcome.plan().windowedLayers().isEmpty()
                    ? "share"
                    : outcome.map().isIdentity() ? "are windowed" : "are windowed or share"),
        model(result.policy().model()) + ", calibrated on " + result.statistics().dataset().name(),
        result.summary(),
        outcome.reached(),
        figures(result),
        RecallTable.of(result.policy().recall()),
        MapPicture.of(outcome.plan()),
        sources(outcome.plan()),
        outcome.scores() == null ? null : ScorePicture.of(outcome.scores(), outcome.plan()),
        HeatMap.of(result.statistics().distances(), outcome),
        StepChart.of(outcome, result.settings().limits().threshold()),
        LogRow.of(outcome, result.settings().limits().threshold()),
        outcome.skipped(),
        facts(result));
  }

  private static List<Figure> figures(Report.Content result) {
    SearchOutcome outcome = result.outcome();
    Policy policy = result.policy();
    Savings savings = policy.savings();
    KvUse use = policy.model().kvUse(policy.plan());
    boolean windowed = use.dropsTokens();
    List<Figure> figures = new ArrayList<>();
    figures.add(
        new Figure(
            "KV cache kept",
            format("%.1f %%", 100 * savings.kvFraction()),
            windowed
                ? format("of a text of %,d tokens", savings.context())
                : "%d of %d layers".formatted(use.wholeTextLayers(), outcome.map().layers())));
    if (policy.model().knowsHeads()) {
      figures.add(
          new Figure(
              windowed ? "KV bytes per further token" : "KV bytes per token",
              format("%,d", savings.kvBytesPerToken()),
              format("of %,d, 16-bit elements", use.unsharedBytes(1, 2))));
    }
    figures.add(
        new Figure(
            "Similarity",
            format("%.4f", outcome.similarity()),
            "threshold " + result.settings().limits().threshold()));
    if (!outcome.tested().isEmpty()) {
      figures.add(
          new Figure(
              "Candidates tested",
              Integer.toString(outcome.tested().size()),
              "%d accepted, %d rejected"
                  .formatted(outcome.accepted().size(), outcome.rejected().size())));
    } else if (outcome.repaired()) {
      figures.add(
          new Figure(
              "Plans judged",
              Integer.toString(outcome.compared().size()),
              "each repaired on a part of the text"));
    }
    return figures;
  }

  private static List<String> sources(Plan plan) {
    SharingMap map = plan.map();
    List<String> lines = new ArrayList<>();
    if (!plan.windowedLayers().isEmpty()) {
      lines.add(
          "Of layers %s the first %d and the last %d tokens are kept."
              .formatted(
                  list(plan.windowedLayers().stream().map(String::valueOf).toList()),
                  plan.windows().first(),
                  plan.windows().last()));
    }
    for (int owner : map.owners()) {
      List<String> readers = new ArrayList<>();
      for (int layer = 0; layer < map.layers(); layer++) {
        if (layer != owner && map.source(layer) == owner) {
          readers.add(Integer.toString(layer));
        }
      }
      if (!readers.isEmpty()) {
        lines.add(
            (readers.size() == 1 ? "Layer %s reads layer %d." : "Layers %s read layer %d.")
                .formatted(list(readers), owner));
      }
    }
    return lines;
  }

  private static List<Fact> facts(Report.Content result) {
    Policy policy = result.policy();
    KvStatistics statistics = result.statistics();
    List<Fact> facts = new ArrayList<>();
    facts.add(new Fact("Model", model(policy.model())));
    add(facts, "Fingerprint", policy.model().fingerprint());
    add(facts, "Calibration text", statistics.dataset().name());
    add(facts, "SHA-256 of the text", statistics.dataset().sha256());
    facts.add(
        new Fact(
            "Samples",
            "%d of up to %d tokens"
                .formatted(statistics.samples().size(), statistics.tokensPerSample())));
    facts.add(new Fact("Method", result.settings().method().methodName()));
    result
        .compared()
        .forEach(line -> facts.add(new Fact("Search tried", line.replaceAll(" +", " "))));
    facts.add(new Fact("Seed", Long.toString(result.settings().seed())));
    facts.add(
        new Fact(
            "Asked for",
            "%s (%d layers)".formatted(result.keep(), result.outcome().wantedLayers())));
    facts.add(new Fact("Threshold", Double.toString(result.settings().limits().threshold())));
    Validation validation = policy.validation();
    if (validation != null) {
      facts.add(
          new Fact(
              "Repair",
              policy.repair() == null
                  ? "none"
                  : "%d refitted tensors in %s"
                      .formatted(policy.repair().tensors().size(), policy.repair().file())));
      facts.add(
          new Fact(
              "Against the unshared model",
              format(
                  "KL divergence %.4f (without repair %.4f), perplexity %.3f times, same token at %.1f %% of the positions, similarity %.4f; %,d tokens that nothing was fitted to",
                  validation.divergence(),
                  validation.plainDivergence(),
                  validation.perplexityRatio(),
                  100 * validation.agreement(),
                  validation.similarity(),
                  validation.tokens())));
    }
    if (result.outcome().work().evaluations() > 0) {
      facts.add(new Fact("Layers run", result.work()));
    }
    facts.add(new Fact("Written by", policy.tool().name() + " " + policy.tool().version()));
    return facts;
  }

  private static String model(ModelIdentity model) {
    String text = "%s, %d layers".formatted(model.modelType(), model.layers());
    return model.keyValueHeads() == null || model.headSize() == null
        ? text
        : text
            + ", %d key/value heads of size %d".formatted(model.keyValueHeads(), model.headSize());
  }

  private static void add(List<Fact> facts, String name, String value) {
    if (value != null) {
      facts.add(new Fact(name, value));
    }
  }

  private static String format(String pattern, Object... values) {
    return String.format(Locale.ROOT, pattern, values);
  }

  /** "1", "1 and 2", "1, 2 and 3". */
  static String list(List<String> items) {
    if (items.size() < 2) {
      return String.join("", items);
    }
    int last = items.size() - 1;
    return String.join(", ", items.subList(0, last)) + " and " + items.get(last);
  }

  /**
   * A line of the search log.
   *
   * @param test number of the test, from 1
   * @param rank place of the pair in the order in which they are tried, from 1
   * @param pair the layer that would share and the one that it would read, or the one that would be
   *     windowed
   * @param distance distance of the pair
   * @param similarity what was measured, on the samples that were run
   * @param accepted whether it was above the threshold
   * @param reason why it was accepted or not, and what else changed
   */
  record LogRow(
      int test,
      int rank,
      String pair,
      String distance,
      String similarity,
      boolean accepted,
      String reason) {

    static List<LogRow> of(SearchOutcome outcome, double threshold) {
      List<LogRow> rows = new ArrayList<>();
      SharingMap map = SharingMap.identity(outcome.map().layers());
      for (SearchOutcome.Tested tested : outcome.tested()) {
        rows.add(row(rows.size() + 1, tested, map, threshold));
        if (tested.accepted()) {
          map = tested.map();
        }
      }
      return rows;
    }

    private static LogRow row(
        int test, SearchOutcome.Tested tested, SharingMap before, double threshold) {
      int layer = tested.pair().layer();
      return new LogRow(
          test,
          tested.rank() + 1,
          layer + " reads " + tested.pair().source(),
          String.format(Locale.ROOT, "%.4f", tested.pair().distance()),
          String.format(Locale.ROOT, "%.6f", tested.similarity()),
          tested.accepted(),
          byThreshold(tested, threshold) + resolution(tested, before));
    }

    private static String byThreshold(SearchOutcome.Tested tested, double threshold) {
      return tested.accepted()
          ? "above %s: %d share".formatted(threshold, tested.plan().reducedLayers())
          : "not above " + threshold + decidedAfter(tested.measured());
    }

    private static String decidedAfter(SimilarityMeter.Similarity measured) {
      return measured.isComplete()
          ? ""
          : ", certain after %d of %d samples".formatted(measured.samples(), measured.allSamples());
    }

    /** What the resolution of chains changed besides the pair itself. */
    private static String resolution(SearchOutcome.Tested tested, SharingMap before) {
      int layer = tested.pair().layer();
      int source = tested.map().source(layer);
      StringBuilder text = new StringBuilder();
      if (source != tested.pair().source()) {
        text.append(
            "; %d reads %d, because %d does".formatted(layer, source, tested.pair().source()));
      }
      List<String> repointed = new ArrayList<>();
      for (int other = 0; other < before.layers(); other++) {
        if (other != layer && before.source(other) != tested.map().source(other)) {
          repointed.add(Integer.toString(other));
        }
      }
      if (!repointed.isEmpty()) {
        text.append("; %s re-pointed to %d".formatted(ReportPage.list(repointed), source));
      }
      return text.toString();
    }
  }
}
