package dev.kvshare.calibrate.report;

import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.MeasuredSimilarity;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.TestedCandidate;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A line of the search log.
 *
 * @param test number of the test, from 1
 * @param rank place of the pair in the order of the strategy, from 1
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
    for (TestedCandidate tested : outcome.tested()) {
      rows.add(row(rows.size() + 1, tested, map, threshold));
      if (tested.accepted()) {
        map = tested.map();
      }
    }
    return rows;
  }

  private static LogRow row(int test, TestedCandidate tested, SharingMap before, double threshold) {
    int layer = tested.pair().layer();
    int source = tested.pair().source();
    return new LogRow(
        test,
        tested.rank() + 1,
        source == layer ? layer + " windowed" : layer + " reads " + source,
        String.format(Locale.ROOT, "%.4f", tested.pair().distance()),
        String.format(Locale.ROOT, "%.6f", tested.similarity()),
        tested.accepted(),
        (tested.divergence() == null ? byThreshold(tested, threshold) : byDivergence(tested))
            + resolution(tested, before));
  }

  private static String byThreshold(TestedCandidate tested, double threshold) {
    return tested.accepted()
        ? "above %s: %d share".formatted(threshold, tested.plan().reducedLayers())
        : "not above " + threshold + decidedAfter(tested.measured());
  }

  private static String byDivergence(TestedCandidate tested) {
    int reduced = tested.plan().reducedLayers();
    String accepted =
        reduced + (tested.plan().windowedLayers().isEmpty() ? " share" : " are windowed");
    String refused = "another layer of " + reduced + " cost less";
    return String.format(
        Locale.ROOT,
        "KL divergence %.4f after repair: %s",
        tested.divergence(),
        tested.accepted() ? accepted : refused);
  }

  private static String decidedAfter(MeasuredSimilarity measured) {
    return measured.isComplete()
        ? ""
        : ", certain after %d of %d samples".formatted(measured.samples(), measured.allSamples());
  }

  /** What the resolution of chains changed besides the pair itself. */
  private static String resolution(TestedCandidate tested, SharingMap before) {
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
      text.append("; %s re-pointed to %d".formatted(Words.list(repointed), source));
    }
    return text.toString();
  }
}
