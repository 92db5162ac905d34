package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.CalibrationListener;
import dev.kvshare.calibrate.QualityLimits;
import dev.kvshare.calibrate.capture.CandidatePair;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.LayerWork;
import dev.kvshare.calibrate.capture.MeasuredSimilarity;
import dev.kvshare.calibrate.repair.RepairQuality;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * The search of {@link LayerwiseStrategy}: KL divergence from the unshared model after repair is
 * nearly additive in the layers that are reduced, so few plans need to be tried.
 *
 * <ol>
 *   <li>Each layer alone is reduced; its divergence is what it is expected to add.
 *   <li>A step orders all extensions of the plan by the expected divergence and tries the first
 *       few; it ends early when no other is expected to be better than the best tried.
 *   <li>What a tried layer added replaces what is expected of it.
 *   <li>The best extension becomes the plan.
 *   <li>The search ends when as many layers are reduced as are wanted, when no tried extension
 *       keeps the limits, or when another search has done better already.
 * </ol>
 */
final class LayerwiseSearch {
  /** Extensions tried in a step. */
  private static final int TRIES = 4;

  /** Steps with that many tries; a search with more steps tries fewer in each. */
  private static final int FULL_STEPS = 8;

  private static final double BESIDE_TOP = 2;

  private final LayerwiseStrategy strategy;
  private final LayerReduction reduction;
  private final DistanceMatrix distances;
  private final RepairedProbe probe;
  private final CalibrationListener listener;
  private final List<TestedCandidate> tested = new ArrayList<>();
  private List<CandidatePair> ranking = List.of();
  private double[] expected;
  private double[] alone;

  /** A measured plan; cost is the divergence, with {@code preferTop} more. */
  private record Kept(Plan plan, RepairQuality quality, double cost) {}

  /** A layer that could be reduced in addition. */
  private record Extension(int layer, Plan plan, double expectedCost) {}

  /** An extension that was measured. */
  private record Tried(Extension extension, Kept result) {}

  LayerwiseSearch(
      LayerwiseStrategy strategy,
      LayerReduction reduction,
      DistanceMatrix distances,
      RepairedProbe probe,
      CalibrationListener listener) {
    this.strategy = strategy;
    this.reduction = reduction;
    this.distances = distances;
    this.probe = probe;
    this.listener = listener;
  }

  /**
   * Runs to the end.
   *
   * @param outdone a divergence that another search has reached already: a smaller plan that
   *     diverges more cannot win any more, and the search ends
   */
  SearchOutcome run(int wantedSharedLayers, QualityLimits limits, double outdone) {
    Plan unshared = Plan.identity(distances.layers());
    Kept start = new Kept(unshared, probe.quality(unshared), 0);
    boolean canWin =
        wantedSharedLayers == 0 || measureSingleLayers(start, wantedSharedLayers, outdone);
    Kept best = start;
    while (canWin && best.plan().reducedLayers() < wantedSharedLayers) {
      report(CalibrationListener.Phase.STEPS, best, wantedSharedLayers);
      List<Tried> tries = tries(best, triesPerStep(wantedSharedLayers));
      Tried accepted =
          tries.stream()
              .filter(tried -> limits.hold(tried.result().quality()))
              .min(Comparator.comparingDouble(tried -> tried.result().cost()))
              .orElse(null);
      log(tries, accepted);
      if (accepted == null) {
        break;
      }
      best = accepted.result();
      canWin = divergence(best) <= outdone;
      if (canWin && best.plan().reducedLayers() < wantedSharedLayers) {
        probe.accepted(best.plan());
      }
    }
    report(CalibrationListener.Phase.STEPS, best, wantedSharedLayers);
    StrategyResult.Ending ending = StrategyResult.Ending.LIMITED;
    if (best.plan().reducedLayers() >= wantedSharedLayers) {
      ending = StrategyResult.Ending.REACHED;
    } else if (!canWin) {
      ending = StrategyResult.Ending.OUTDONE;
    }
    return new SearchOutcome(
        best.plan(),
        best.quality().similarity(),
        wantedSharedLayers,
        ranking,
        tested,
        0,
        new LayerWork(0, 0),
        List.of(new StrategyResult(strategy.strategy(), best.plan(), ending, best.quality())));
  }

  private static double divergence(Kept kept) {
    return kept.quality().divergence().mean();
  }

  /**
   * From the top, as a layer is run from there on only. Returns false as soon as those measured so
   * far that would be needed as well as all the others add up to more than {@code outdone}.
   */
  private boolean measureSingleLayers(Kept start, int wanted, double outdone) {
    int layers = start.plan().map().layers();
    expected = new double[layers];
    alone = new double[layers];
    List<CandidatePair> pairs = new ArrayList<>();
    boolean canWin = true;
    for (int layer = layers - 1; canWin && layer >= 0; layer--) {
      listener.progressed(
          CalibrationListener.Progress.of(
              CalibrationListener.Phase.SINGLES, layers - 1 - layer, layers));
      Plan plan = reduction.extend(start.plan(), layer);
      if (plan != null) {
        expected[layer] = probe.quality(plan).divergence().mean();
        alone[layer] = expected[layer];
        pairs.add(pair(layer, plan));
        canWin = leastOf(pairs, wanted - layer) <= outdone;
      }
    }
    listener.progressed(
        CalibrationListener.Progress.of(CalibrationListener.Phase.SINGLES, layers, layers));
    pairs.sort(
        Comparator.comparingDouble((CandidatePair pair) -> expected[pair.layer()])
            .thenComparing(CandidatePair::layer));
    ranking = List.copyOf(pairs);
    return canWin;
  }

  /** What the {@code count} layers add up to that cost least alone. */
  private double leastOf(List<CandidatePair> pairs, int count) {
    return pairs.stream()
        .mapToDouble(pair -> alone[pair.layer()])
        .sorted()
        .limit(Math.max(0, count))
        .sum();
  }

  /** The extensions that promise most, measured. */
  private List<Tried> tries(Kept from, int most) {
    List<Tried> measured = new ArrayList<>();
    double least = Double.POSITIVE_INFINITY;
    for (Extension extension : extensions(from)) {
      if (measured.size() == most || extension.expectedCost() >= least) {
        break;
      }
      RepairQuality quality = probe.quality(extension.plan());
      double added = quality.divergence().mean() - from.quality().divergence().mean();
      expected[extension.layer()] = added;
      double cost = from.cost() + weight(from.plan(), extension.layer()) * added;
      measured.add(new Tried(extension, new Kept(extension.plan(), quality, cost)));
      least = Math.min(least, cost);
    }
    return measured;
  }

  /** All extensions, the one with the least expected cost at the front. */
  private List<Extension> extensions(Kept from) {
    List<Extension> extensions = new ArrayList<>();
    for (int layer = 0; layer < distances.layers(); layer++) {
      Plan plan = reduction.extend(from.plan(), layer);
      if (plan != null) {
        double cost = from.cost() + weight(from.plan(), layer) * expected[layer];
        extensions.add(new Extension(layer, plan, cost));
      }
    }
    extensions.sort(Comparator.comparingDouble(Extension::expectedCost));
    return extensions;
  }

  private double weight(Plan plan, int layer) {
    return strategy.preferTop() && plan.map().highestOwner() != layer ? BESIDE_TOP : 1;
  }

  private static int triesPerStep(int steps) {
    return Math.max(2, Math.min(TRIES, TRIES * FULL_STEPS / Math.max(1, steps)));
  }

  /** Refused extensions first, as a search that goes on from the accepted one meets them. */
  private void log(List<Tried> tries, Tried accepted) {
    tries.stream().filter(tried -> !tried.equals(accepted)).forEach(tried -> log(tried, false));
    if (accepted != null) {
      log(accepted, true);
    }
  }

  private void log(Tried tried, boolean accepted) {
    int layer = tried.extension().layer();
    Plan plan = tried.extension().plan();
    CandidatePair pair = pair(layer, plan);
    RepairQuality quality = tried.result().quality();
    tested.add(
        new TestedCandidate(
            ranking.stream().map(CandidatePair::layer).toList().indexOf(layer),
            pair,
            plan,
            new MeasuredSimilarity(quality.similarity(), 1, 1),
            quality.divergence().mean(),
            accepted));
  }

  private CandidatePair pair(int layer, Plan plan) {
    int source = plan.map().source(layer);
    double distance = source == layer ? alone[layer] : distances.distance(layer, source);
    return new CandidatePair(layer, source, distance);
  }

  private void report(CalibrationListener.Phase phase, Kept best, int wanted) {
    int shared = best.plan().reducedLayers();
    listener.progressed(
        new CalibrationListener.Progress(
            phase,
            shared,
            wanted,
            shared,
            wanted,
            best.quality().similarity(),
            best.quality().divergence().mean()));
  }
}
