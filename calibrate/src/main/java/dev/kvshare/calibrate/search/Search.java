package dev.kvshare.calibrate.search;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SampleRunner;
import dev.kvshare.calibrate.capture.SimilarityMeter;
import dev.kvshare.calibrate.repair.RepairQuality;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The searches of which methods are made, with the meters of one calibration and its journal where
 * one is kept.
 */
public final class Search implements AutoCloseable {
  /** The name of the layerwise search for sharing layers among those that are compared. */
  static final String LAYERWISE = "layerwise";

  private final ModelSpec spec;
  private final KvStatistics statistics;
  private final SearchSettings settings;
  private final SearchGoals goals;
  private final CalibrationListener listener;
  private final ShortRepair repair;
  private final SearchJournal journal;
  private final SimilarityMeter similarities;
  private final LayerwiseSearch.PlanMeter plans;

  /**
   * A search that has not begun.
   *
   * @param runner has run the unshared model
   */
  public Search(
      Decoder decoder,
      SampleRunner runner,
      KvStatistics statistics,
      SearchSettings settings,
      CalibrationListener listener) {
    this.spec = decoder.spec();
    this.statistics = statistics;
    this.settings = settings;
    this.goals = settings.goals();
    this.listener = listener;
    List<int[]> text = settings.text().isEmpty() ? statistics.samples() : settings.text();
    this.repair =
        new ShortRepair(decoder, text, goals.windowed().isPresent(), settings.maxStateBytes());
    this.journal = settings.journal() == null ? null : journal();
    this.similarities = journal == null ? runner : journal.similarities(runner);
    this.plans = journal == null ? repair : journal.plans(repair);
  }

  /** Runs the method of the settings. */
  public SearchOutcome run() {
    return settings.method().search(this);
  }

  /** The papers' search; further limits are looked at when it has ended. */
  SearchOutcome ordered(PairOrder order) {
    SearchOutcome outcome = tested(order);
    return settings.limits().needRepair() ? judged(order, outcome) : outcome;
  }

  /** One more windowed layer at a time. */
  SearchOutcome windowed() {
    SearchGoals.Window window = goals.window();
    return new LayerwiseSearch(
            WindowsMethod.NAME,
            LayerwiseSearch.windowing(spec, window),
            false,
            statistics.distances(),
            plans,
            listener)
        .run(goals.windowed().getAsInt(), settings.limits(), Double.POSITIVE_INFINITY);
  }

  /**
   * Of the searches for sharing layers, and for windowed ones where the goals have them, those that
   * reached the size, or else came nearest to it, and of these the one with the nearest plan; the
   * first of equals.
   *
   * @param preferTop see {@link ShareMethod}
   */
  SearchOutcome best(boolean preferTop) {
    List<SearchOutcome> outcomes = new ArrayList<>();
    for (PairOrder order : List.of(new KvSharerMethod(), new SimilarMethod())) {
      similarities.accepted(SharingMap.identity(spec.layers()));
      outcomes.add(judged(order, tested(order)));
    }
    if (goals.windowed().isPresent()) {
      outcomes.add(windowed());
      plans.accepted(Plan.identity(spec.layers()));
    }
    double reached =
        outcomes.stream()
            .filter(SearchOutcome::reached)
            .mapToDouble(Search::divergence)
            .min()
            .orElse(Double.POSITIVE_INFINITY);
    outcomes.add(
        new LayerwiseSearch(
                LAYERWISE,
                LayerwiseSearch.sharing(spec, settings.acrossKinds()),
                preferTop,
                statistics.distances(),
                plans,
                listener)
            .run(goals.sharing().getAsInt(), settings.limits(), reached));
    outcomes.sort(
        Comparator.comparing((SearchOutcome outcome) -> !outcome.reached())
            .thenComparing(outcome -> outcome.wantedLayers() - outcome.plan().reducedLayers())
            .thenComparing(Search::divergence));
    return outcomes
        .get(0)
        .withCompared(outcomes.stream().map(outcome -> outcome.compared().get(0)).toList());
  }

  private static double divergence(SearchOutcome outcome) {
    return outcome.compared().get(0).quality().divergence().mean();
  }

  private SearchOutcome tested(PairOrder order) {
    return new SharingSearch(ranking(order), this::mayShare, similarities, listener)
        .run(spec.layers(), goals.sharing().getAsInt(), settings.limits().threshold());
  }

  private SearchOutcome judged(PairOrder order, SearchOutcome outcome) {
    RepairQuality quality = plans.quality(outcome.plan());
    boolean reached = outcome.reached() && settings.limits().hold(quality);
    return outcome.withCompared(
        List.of(
            new SearchOutcome.Found(
                order.methodName(),
                outcome.plan(),
                reached ? SearchOutcome.Ending.REACHED : SearchOutcome.Ending.LIMITED,
                quality)));
  }

  /** The pairs that may share, in an order. */
  private List<DistanceMatrix.Pair> ranking(PairOrder order) {
    return order.rank(statistics.distances()).stream()
        .filter(pair -> spec.mayShare(pair.layer(), pair.source(), settings.acrossKinds()))
        .toList();
  }

  private boolean mayShare(SharingMap map) {
    return IntStream.range(0, map.layers())
        .allMatch(layer -> spec.mayShare(layer, map.source(layer), settings.acrossKinds()));
  }

  private SearchJournal journal() {
    PairOrder order = settings.method() instanceof PairOrder chosen ? chosen : new KvSharerMethod();
    boolean repairs = settings.method().repairs() || settings.limits().needRepair();
    ObjectNode header =
        SearchJournal.header(
            statistics, ranking(order), settings, repairs ? repair.passages() : null);
    boolean exists = Files.exists(settings.journal());
    if (exists && settings.resume()) {
      return SearchJournal.resume(settings.journal(), header);
    }
    if (exists) {
      listener.warned(
          "The journal %s of an interrupted calibration is replaced; --resume would have gone on with it."
              .formatted(settings.journal()));
    } else if (settings.resume()) {
      listener.noted(
          "There is no journal %s to resume from: the search begins anew."
              .formatted(settings.journal()));
    }
    return SearchJournal.create(settings.journal(), header);
  }

  @Override
  public void close() {
    repair.close();
    if (journal != null) {
      journal.close();
    }
  }
}
