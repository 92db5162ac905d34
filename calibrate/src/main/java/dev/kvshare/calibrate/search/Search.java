package dev.kvshare.calibrate.search;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.CalibrationListener.Phase;
import dev.kvshare.calibrate.capture.CalibrationListener.Progress;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SampleRunner;
import dev.kvshare.calibrate.capture.SimilarityMeter;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.calibrate.score.Scores;
import dev.kvshare.calibrate.score.Scoring;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import java.util.stream.IntStream;

/**
 * The searches of which methods are made, with the meters of one calibration and its journal where
 * one is kept.
 */
public final class Search implements AutoCloseable {
  /** The name of the plan with layers of both kinds among those that are compared. */
  private static final String MIXED = "mixed";

  /** A plan that loses so many times more on text than another is not asked what it forgets. */
  private static final double ASKED = 4;

  private static final int SCORED_TOKENS = 7_680;

  private final Decoder decoder;
  private final ModelSpec spec;
  private final KvStatistics statistics;
  private final SearchSettings settings;
  private final SearchGoals goals;
  private final CalibrationListener listener;
  private final BiFunction<List<Plan>, RefittedWeights, List<Recall>> recallOrNull;
  private final ShortRepair repair;
  private final SearchJournal journal;
  private final SimilarityMeter similarities;
  private final PlanMeter meter;
  private final PlanMeter singles;

  /** Measures how near a plan comes to the unshared model when it is repaired. */
  @FunctionalInterface
  interface PlanMeter {
    /** How near {@code plan} comes. */
    RepairQuality quality(Plan plan);
  }

  /**
   * A search that has not begun.
   *
   * @param runner has run the unshared model
   * @param recallOrNull asks plans with refitted weights, which may be null, for what stands far
   *     back
   */
  public Search(
      Decoder decoder,
      SampleRunner runner,
      KvStatistics statistics,
      SearchSettings settings,
      CalibrationListener listener,
      BiFunction<List<Plan>, RefittedWeights, List<Recall>> recallOrNull) {
    this.decoder = decoder;
    this.spec = decoder.spec();
    this.statistics = statistics;
    this.settings = settings;
    this.goals = settings.goals();
    this.listener = listener;
    this.recallOrNull = recallOrNull;
    List<int[]> text = settings.text().isEmpty() ? statistics.samples() : settings.text();
    this.repair =
        new ShortRepair(decoder, text, goals.windowed().isPresent(), settings.maxStateBytes());
    this.journal = settings.journal() == null ? null : journal();
    this.similarities = journal == null ? runner : journal.similarities(runner);
    this.meter = journal == null ? repair::quality : journal.plans(repair::quality);
    this.singles = journal == null ? repair::unrepaired : journal.plans(repair::unrepaired);
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

  /**
   * Plans from scores, and for sharing layers the papers' order and its reverse besides; of those
   * that reached the size, or else came nearest to it, the one that comes nearest to the unshared
   * model when repaired: on text, and on the answers to what stands far back.
   *
   * @param preferTop see {@link ShareMethod}
   */
  SearchOutcome best(boolean preferTop) {
    boolean shares = goals.sharing().isPresent();
    boolean windows = goals.windowed().isPresent();
    Scores scores = scores();
    if (windows) {
      scores = measured(scores);
    }
    ScoredPlans plans = new ScoredPlans(spec, scores, goals, settings.acrossKinds(), preferTop);
    Map<String, List<Plan>> candidates = new LinkedHashMap<>();
    if (windows) {
      candidates.put(WindowsMethod.NAME, plans.steps(true, false));
    }
    if (shares) {
      candidates.put(ShareMethod.NAME, plans.steps(false, true));
      candidates.put(KvSharerMethod.NAME, untested(new KvSharerMethod()));
    }
    if (shares && !windows) {
      candidates.put(SimilarMethod.NAME, untested(new SimilarMethod()));
    }
    if (windows && shares) {
      candidates.put(MIXED, plans.steps(true, true));
    }
    List<SearchOutcome.Found> found = new ArrayList<>();
    for (Map.Entry<String, List<Plan>> candidate : candidates.entrySet()) {
      listener.progressed(Progress.of(Phase.PLANS, found.size(), candidates.size()));
      judge(candidate.getKey(), candidate.getValue(), found);
    }
    found.sort(
        Comparator.comparing((SearchOutcome.Found one) -> !one.reached())
            .thenComparing(one -> -one.plan().reducedLayers() * (one.reached() ? 0 : 1))
            .thenComparing(one -> one.recall() == null)
            .thenComparing(SearchOutcome.Found::loss));
    SearchOutcome.Found best = found.get(0);
    boolean windowed = !best.plan().windowedLayers().isEmpty();
    return new SearchOutcome(
        best.plan(),
        best.quality().similarity(),
        (windowed ? goals.windowed() : goals.sharing()).getAsInt(),
        List.of(),
        List.of(),
        0,
        SimilarityMeter.LayerWork.NONE,
        found,
        scores);
  }

  /** The scores with what single windowed layers lose, measured on text and far back. */
  private Scores measured(Scores text) {
    WindowCosts costs = new WindowCosts(spec.layers(), goals);
    Scores scores =
        recallOrNull == null || !spec.isTrainedUnshared()
            ? text
            : costs.withRecall(text, plans -> recallOrNull.apply(plans, null));
    return costs.bordered(scores, text, plan -> singles.quality(plan).divergence().mean());
  }

  /**
   * Judges a plan on text, if it is a new one, and asks it for what stands far back, if no other
   * comes much nearer on text.
   */
  private void judge(String name, List<Plan> steps, List<SearchOutcome.Found> found) {
    if (isNew(steps, found)) {
      SearchOutcome.Found one = within(name, steps);
      double text = one.quality().divergence().mean();
      boolean near =
          found.stream()
              .filter(SearchOutcome.Found::reached)
              .allMatch(other -> text <= ASKED * other.quality().divergence().mean());
      found.add(recallOrNull != null && one.reached() && near ? asked(one) : one);
    }
  }

  private static boolean isNew(List<Plan> steps, List<SearchOutcome.Found> found) {
    Plan last = steps.get(steps.size() - 1);
    return found.stream().noneMatch(other -> other.plan().equals(last));
  }

  private SearchOutcome.Found asked(SearchOutcome.Found found) {
    Recall recall = recallOrNull.apply(List.of(found.plan()), repair.weights(found.plan())).get(0);
    return new SearchOutcome.Found(
        found.name(), found.plan(), found.ending(), found.quality(), recall);
  }

  /** The last plan of a way that holds the limits; those of fewer layers are taken to lose less. */
  private SearchOutcome.Found within(String name, List<Plan> steps) {
    int low = 0;
    int high = steps.size() - 1;
    RepairQuality quality = meter.quality(steps.get(high));
    boolean holds = settings.limits().hold(quality);
    if (holds) {
      low = high;
    }
    while (!holds && high - low > 1) {
      int middle = (low + high) / 2;
      if (settings.limits().hold(meter.quality(steps.get(middle)))) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return new SearchOutcome.Found(
        name,
        steps.get(low),
        holds && goals.isReached(steps.get(low))
            ? SearchOutcome.Ending.REACHED
            : SearchOutcome.Ending.LIMITED,
        holds ? quality : meter.quality(steps.get(low)),
        null);
  }

  /** The way of an order of pairs if each passes the papers' test. */
  private List<Plan> untested(PairOrder order) {
    int wanted = goals.sharing().getAsInt();
    List<Plan> steps = new ArrayList<>(List.of(Plan.identity(spec.layers())));
    for (DistanceMatrix.Pair pair : ranking(order)) {
      SharingMap map = steps.get(steps.size() - 1).map();
      if (map.sharedLayers() < wanted && map.ownsCache(pair.layer())) {
        SharingMap with = map.withShared(pair.layer(), pair.source());
        if (mayShare(with)) {
          steps.add(Plan.of(with));
        }
      }
    }
    return steps;
  }

  /** Tokens on which layers are scored, where the text has as many. */
  public static long scoredTokens(ModelSpec spec, long maxStateBytes) {
    long bytesPerToken = (spec.layers() + 1L) * spec.hiddenSize() * Float.BYTES;
    return Math.min(SCORED_TOKENS, maxStateBytes / bytesPerToken);
  }

  private Scores scores() {
    List<int[]> text = settings.text().isEmpty() ? statistics.samples() : settings.text();
    int passage = text.stream().mapToInt(ids -> ids.length).max().orElse(1);
    long most = scoredTokens(spec, settings.maxStateBytes()) / passage;
    List<int[]> chosen = RepairPassages.spread(text, Math.max(2, most));
    int total = 2 * spec.layers();
    try (Scoring scoring = new Scoring(decoder, chosen)) {
      return scoring.score(
          ScoredPlans.actions(spec, goals, settings.acrossKinds()),
          settings.seed(),
          done -> listener.progressed(Progress.of(Phase.SCORE, done, total)));
    }
  }

  private SearchOutcome tested(PairOrder order) {
    return new SharingSearch(ranking(order), this::mayShare, similarities, listener)
        .run(spec.layers(), goals.sharing().getAsInt(), settings.limits().threshold());
  }

  private SearchOutcome judged(PairOrder order, SearchOutcome outcome) {
    RepairQuality quality = meter.quality(outcome.plan());
    boolean reached = outcome.reached() && settings.limits().hold(quality);
    return outcome.withCompared(
        List.of(
            new SearchOutcome.Found(
                order.methodName(),
                outcome.plan(),
                reached ? SearchOutcome.Ending.REACHED : SearchOutcome.Ending.LIMITED,
                quality,
                null)));
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
