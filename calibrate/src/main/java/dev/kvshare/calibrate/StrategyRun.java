package dev.kvshare.calibrate;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.calibrate.repair.ReadingErrors;
import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.runtime.Decoder;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** Runs the strategy of a calibration, with its journal where one is wanted. */
final class StrategyRun implements AutoCloseable {
  private final Decoder decoder;
  private final KvStatistics statistics;
  private final CalibrationSettings settings;
  private final int layersToShare;
  private final CalibrationListener listener;
  private final BenchProbe bench;
  private final SearchJournal journal;
  private final SimilarityProbe similarities;
  private final RepairedProbe repairs;
  private DistanceMatrix readingErrors;

  /**
   * A search that has not begun.
   *
   * @param runner has run the unshared model
   */
  StrategyRun(
      Decoder decoder,
      CandidateRunner runner,
      KvStatistics statistics,
      CalibrationSettings settings,
      int layersToShare,
      CalibrationListener listener) {
    this.decoder = decoder;
    this.statistics = statistics;
    this.settings = settings;
    this.layersToShare = layersToShare;
    this.listener = listener;
    List<int[]> text = settings.text().isEmpty() ? statistics.samples() : settings.text();
    this.bench = new BenchProbe(decoder, text, windowTokens(settings), settings.maxStateBytes());
    this.journal = settings.journal() == null ? null : journal();
    this.similarities = journal == null ? runner : new JournalledProbe(runner, journal);
    this.repairs = journal == null ? bench : new JournalledRepairs(bench, journal);
  }

  SearchOutcome run() {
    if (settings.strategy() instanceof AutoStrategy auto) {
      return best(auto);
    }
    return settings.strategy() instanceof LayerwiseStrategy layerwise
        ? layerwise(layerwise)
        : ordered((CandidateOrder) settings.strategy());
  }

  @Override
  public void close() {
    bench.close();
    if (journal != null) {
      journal.close();
    }
  }

  /** The papers' search; further limits are looked at when it has ended. */
  private SearchOutcome ordered(CandidateOrder order) {
    SearchOutcome outcome =
        new SharingSearch(ranking(order), map -> mayShare(map), similarities, listener)
            .run(decoder.spec().layers(), layersToShare, settings.limits().threshold());
    return settings.limits().needRepair() ? measured(order, outcome) : outcome;
  }

  private SearchOutcome measured(CandidateOrder order, SearchOutcome outcome) {
    RepairQuality quality = repairs.quality(outcome.plan());
    boolean reached = outcome.reached() && settings.limits().hold(quality);
    return outcome.withCompared(
        List.of(new StrategyResult(order.strategy(), outcome.plan(), reached, quality)));
  }

  private SearchOutcome layerwise(LayerwiseStrategy strategy) {
    return new LayerwiseSearch(
            strategy,
            LayerReduction.of(decoder.spec(), settings.acrossKinds(), settings.window()),
            statistics.distances(),
            repairs,
            listener)
        .run(layersToShare, settings.limits());
  }

  /** What windows lose is seen behind them only. */
  private static int windowTokens(CalibrationSettings settings) {
    return settings.window() == null
        ? BenchProbe.WINDOW_TOKENS
        : BenchProbe.WINDOW_TOKENS * BenchProbe.LONGER;
  }

  /** Of the searches that reached the size, or else shared most, the one with the nearest map. */
  private SearchOutcome best(AutoStrategy strategy) {
    if (settings.window() != null) {
      return layerwise(strategy.layerwise());
    }
    List<SearchOutcome> outcomes = new ArrayList<>();
    for (CandidateOrder order : strategy.orders()) {
      similarities.accepted(SharingMap.identity(decoder.spec().layers()));
      outcomes.add(measured(order, ordered(order)));
    }
    outcomes.add(layerwise(strategy.layerwise()));
    outcomes.sort(
        Comparator.comparing((SearchOutcome outcome) -> !result(outcome).reached())
            .thenComparing(outcome -> -outcome.map().sharedLayers())
            .thenComparing(outcome -> result(outcome).quality().divergence().mean()));
    return outcomes.get(0).withCompared(outcomes.stream().map(StrategyRun::result).toList());
  }

  private static StrategyResult result(SearchOutcome outcome) {
    return outcome.compared().get(0);
  }

  private List<CandidatePair> ranking(CandidateOrder order) {
    DistanceMatrix distances =
        order instanceof RepairAwareOrder ? readingErrors() : statistics.distances();
    return order.rank(distances).stream()
        .filter(pair -> mayShare(pair.layer(), pair.source()))
        .toList();
  }

  private DistanceMatrix readingErrors() {
    if (readingErrors == null) {
      int layers = decoder.spec().layers();
      double[][] errors =
          new ReadingErrors(decoder)
              .measure(
                  bench.windows(),
                  this::mayShare,
                  done -> {
                    Interrupts.check();
                    listener.progressed(
                        CalibrationListener.Progress.of(
                            CalibrationListener.Phase.RANK, done, layers));
                  });
      readingErrors = new DistanceMatrix(errors, errors);
    }
    return readingErrors;
  }

  private boolean mayShare(int layer, int source) {
    return decoder.spec().mayShare(layer, source, settings.acrossKinds());
  }

  private boolean mayShare(SharingMap map) {
    return IntStream.range(0, map.layers()).allMatch(layer -> mayShare(layer, map.source(layer)));
  }

  private SearchJournal journal() {
    CandidateOrder order =
        settings.strategy() instanceof CandidateOrder chosen ? chosen : new DissimilarOrder();
    ObjectNode header = SearchJournal.settings(statistics, ranking(order), settings, layersToShare);
    if (!(settings.strategy() instanceof CandidateOrder)
        || settings.strategy() instanceof RepairAwareOrder
        || settings.limits().needRepair()) {
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
