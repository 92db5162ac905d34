package dev.kvshare.calibrate.search;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.calibrate.CalibrationListener;
import dev.kvshare.calibrate.CalibrationSettings;
import dev.kvshare.calibrate.capture.CandidatePair;
import dev.kvshare.calibrate.capture.CandidateRunner;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.Sha256;
import dev.kvshare.calibrate.capture.SimilarityProbe;
import java.nio.file.Files;
import java.util.List;

/** Runs the strategy of a calibration, with its journal where one is wanted. */
public final class StrategyRun implements AutoCloseable {
  private final Decoder decoder;
  private final KvStatistics statistics;
  private final CalibrationSettings settings;
  private final SearchGoals goals;
  private final CalibrationListener listener;
  private final BenchProbe bench;
  private final SearchJournal journal;
  private final StrategySearch search;

  /**
   * A search that has not begun.
   *
   * @param runner has run the unshared model
   */
  public StrategyRun(
      Decoder decoder,
      CandidateRunner runner,
      KvStatistics statistics,
      CalibrationSettings settings,
      SearchGoals goals,
      CalibrationListener listener) {
    this.decoder = decoder;
    this.statistics = statistics;
    this.settings = settings;
    this.goals = goals;
    this.listener = listener;
    List<int[]> text = settings.text().isEmpty() ? statistics.samples() : settings.text();
    this.bench = new BenchProbe(decoder, text, windowTokens(goals), settings.maxStateBytes());
    this.journal = settings.journal() == null ? null : journal();
    this.search =
        journal == null
            ? search(runner, bench)
            : search(new JournalledProbe(runner, journal), new JournalledRepairs(bench, journal));
  }

  public SearchOutcome run() {
    return search.run(settings.strategy());
  }

  @Override
  public void close() {
    bench.close();
    if (journal != null) {
      journal.close();
    }
  }

  private StrategySearch search(SimilarityProbe similarities, RepairedProbe repairs) {
    return new StrategySearch(
        decoder.spec(),
        settings.acrossKinds(),
        goals,
        settings.limits(),
        statistics.distances(),
        similarities,
        repairs,
        listener);
  }

  /** What windows lose is seen behind them only. */
  private static int windowTokens(SearchGoals goals) {
    return goals.windowed().isPresent()
        ? BenchProbe.WINDOW_TOKENS * BenchProbe.LONGER
        : BenchProbe.WINDOW_TOKENS;
  }

  private SearchJournal journal() {
    CandidateOrder order =
        settings.strategy() instanceof CandidateOrder chosen ? chosen : new DissimilarOrder();
    List<CandidatePair> ranking =
        StrategySearch.ranking(
            order, statistics.distances(), decoder.spec(), settings.acrossKinds());
    ObjectNode header = SearchJournal.settings(statistics, ranking, settings, goals);
    if (!(settings.strategy() instanceof CandidateOrder) || settings.limits().needRepair()) {
      header.put("repair", Sha256.of(bench.windows().fit()));
      header.put("validation", Sha256.of(bench.windows().validation()));
      header.put("options", settings.strategy() + " " + settings.limits());
    }
    boolean exists = Files.exists(settings.journal());
    if (exists && settings.resume()) {
      return SearchJournal.resume(settings.journal(), header);
    }
    if (exists) {
      listener.warned(
          "The journal %s of an interrupted calibration is replaced; --resume would have gone on with it."
              .formatted(settings.journal()));
    }
    return SearchJournal.create(settings.journal(), header);
  }
}
