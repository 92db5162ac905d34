package dev.kvshare.calibrate.search;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.SimilarityMeter;
import dev.kvshare.calibrate.repair.RepairQuality;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * One more layer is reduced at a time, the one under which the repaired plan comes nearest to the
 * unshared model. KL divergence from the unshared model after repair is nearly additive in the
 * layers that are reduced, so few plans need to be tried.
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
  /** Measures how near a plan comes to the unshared model when it is repaired. */
  public interface PlanMeter {
    /** How near {@code plan} comes. */
    RepairQuality quality(Plan plan);

    /** Tells that later plans are like {@code plan} in their lower layers. */
    void accepted(Plan plan);
  }

  /** What happens to one layer more, so that it keeps fewer keys and values. */
  @FunctionalInterface
  interface Reduction {
    /** The plan with one layer more reduced; null if that layer cannot be. */
    Plan extend(Plan plan, int layer);
  }

  /** Extensions tried in a step. */
  private static final int TRIES = 4;

  /** Steps with that many tries; a search with more steps tries fewer in each. */
  private static final int FULL_STEPS = 8;

  private static final double BESIDE_TOP = 2;

  private final String name;
  private final Reduction reduction;
  private final boolean preferTop;
  private final DistanceMatrix distances;
  private final PlanMeter meter;
  private final CalibrationListener listener;
  private final List<SearchOutcome.Tested> tested = new ArrayList<>();
  private List<DistanceMatrix.Pair> ranking = List.of();
  private double[] expected;
  private double[] alone;

  /** A measured plan; cost is the divergence, with {@code preferTop} more. */
  private record Kept(Plan plan, RepairQuality quality, double cost) {}

  /** A layer that could be reduced in addition. */
  private record Extension(int layer, Plan plan, double expectedCost) {}

  /** An extension that was measured. */
  private record Tried(Extension extension, Kept result) {}

  /**
   * A search that has not begun.
   *
   * @param name what is compared under it
   * @param preferTop see {@link ShareMethod}
   */
  LayerwiseSearch(
      String name,
      Reduction reduction,
      boolean preferTop,
      DistanceMatrix distances,
      PlanMeter meter,
      CalibrationListener listener) {
    this.name = name;
    this.reduction = reduction;
    this.preferTop = preferTop;
    this.distances = distances;
    this.meter = meter;
    this.listener = listener;
  }

  /**
   * Runs to the end.
   *
   * @param outdone a divergence that another search has reached already: a smaller plan that
   *     diverges more cannot win any more, and the search ends
   */
  SearchOutcome run(int wantedLayers, SearchSettings.Limits limits, double outdone) {
    Plan unshared = Plan.identity(distances.layers());
    Kept start = new Kept(unshared, meter.quality(unshared), 0);
    boolean canWin = wantedLayers == 0 || measureSingleLayers(start, wantedLayers, outdone);
    Kept best = start;
    while (canWin && best.plan().reducedLayers() < wantedLayers) {
      report(CalibrationListener.Phase.STEPS, best, wantedLayers);
      List<Tried> tries = tries(best, triesPerStep(wantedLayers));
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
      if (canWin && best.plan().reducedLayers() < wantedLayers) {
        meter.accepted(best.plan());
      }
    }
    report(CalibrationListener.Phase.STEPS, best, wantedLayers);
    SearchOutcome.Ending ending = SearchOutcome.Ending.LIMITED;
    if (best.plan().reducedLayers() >= wantedLayers) {
      ending = SearchOutcome.Ending.REACHED;
    } else if (!canWin) {
      ending = SearchOutcome.Ending.OUTDONE;
    }
    return new SearchOutcome(
        best.plan(),
        best.quality().similarity(),
        wantedLayers,
        ranking,
        tested,
        0,
        SimilarityMeter.LayerWork.NONE,
        List.of(new SearchOutcome.Found(name, best.plan(), ending, best.quality())));
  }

  /**
   * One layer more shares, with the nearest layer below that keeps its own keys and values and may
   * be read. With repair the choice of the layer matters most and that of its source little.
   *
   * @param acrossKinds whether layers with a sliding window and layers with full attention may
   *     share with each other
   */
  static Reduction sharing(ModelSpec spec, boolean acrossKinds) {
    return (plan, layer) -> {
      SharingMap map = plan.map();
      int source = layer - 1;
      while (source >= 0 && !(map.ownsCache(source) && spec.mayShare(layer, source, acrossKinds))) {
        source--;
      }
      if (source < 0 || !map.ownsCache(layer)) {
        return null;
      }
      SharingMap extended = map.withShared(layer, source);
      return IntStream.range(0, map.layers())
              .allMatch(reader -> spec.mayShare(reader, extended.source(reader), acrossKinds))
          ? Plan.of(extended)
          : null;
    };
  }

  /** One layer more keeps the first and last tokens only, where it keeps more now. */
  static Reduction windowing(ModelSpec spec, SearchGoals.Window window) {
    return (plan, layer) -> {
      int modelWindow = spec.blocks().get(layer).attention().window();
      boolean keepsNoMore = modelWindow > 0 && modelWindow <= window.last();
      return plan.isReduced(layer) || keepsNoMore
          ? null
          : plan.withWindowed(layer, window.last(), window.first());
    };
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
    List<DistanceMatrix.Pair> pairs = new ArrayList<>();
    boolean canWin = true;
    for (int layer = layers - 1; canWin && layer >= 0; layer--) {
      listener.progressed(
          CalibrationListener.Progress.of(
              CalibrationListener.Phase.SINGLES, layers - 1 - layer, layers));
      Plan plan = reduction.extend(start.plan(), layer);
      if (plan != null) {
        expected[layer] = meter.quality(plan).divergence().mean();
        alone[layer] = expected[layer];
        pairs.add(pair(layer, plan));
        canWin = leastOf(pairs, wanted - layer) <= outdone;
      }
    }
    listener.progressed(
        CalibrationListener.Progress.of(CalibrationListener.Phase.SINGLES, layers, layers));
    pairs.sort(
        Comparator.comparingDouble((DistanceMatrix.Pair pair) -> expected[pair.layer()])
            .thenComparing(DistanceMatrix.Pair::layer));
    ranking = List.copyOf(pairs);
    return canWin;
  }

  /** What the {@code count} layers add up to that cost least alone. */
  private double leastOf(List<DistanceMatrix.Pair> pairs, int count) {
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
      RepairQuality quality = meter.quality(extension.plan());
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
    return preferTop && plan.map().highestOwner() != layer ? BESIDE_TOP : 1;
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
    DistanceMatrix.Pair pair = pair(layer, plan);
    RepairQuality quality = tried.result().quality();
    tested.add(
        new SearchOutcome.Tested(
            ranking.stream().map(DistanceMatrix.Pair::layer).toList().indexOf(layer),
            pair,
            plan,
            new SimilarityMeter.Similarity(quality.similarity(), 1, 1),
            quality.divergence().mean(),
            accepted));
  }

  private DistanceMatrix.Pair pair(int layer, Plan plan) {
    int source = plan.map().source(layer);
    double distance = source == layer ? alone[layer] : distances.distance(layer, source);
    return new DistanceMatrix.Pair(layer, source, distance);
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
