package dev.kvshare.calibrate.forecast;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.CalibrationSettings;
import dev.kvshare.calibrate.forecast.SearchRehearsal.Counts;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.search.BenchProbe;
import dev.kvshare.calibrate.search.CandidateOrder;
import dev.kvshare.calibrate.search.RepairAwareOrder;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchStrategy;

/**
 * What a calibration costs: the counts of a rehearsed search times what a layer takes.
 *
 * <pre>
 * rank    L layers of the unshared model on all samples
 * tests   layers that tested candidates run, on all samples
 * maps    layers of repaired maps on the windows of the search, their fits of queries and of
 *         output projections, and the judgement
 * repair  the unshared model, the layers from the first reduced one on and their fits, on its text;
 *         the map without repair and the judgement on an eighth of it
 * </pre>
 *
 * <p>Not counted: candidates that are dropped before their last sample, which makes a search with
 * many refusals shorter, and the start of the process.
 *
 * @param spec the model
 * @param times of a layer
 * @param plan the calibration
 */
public record CostModel(ModelSpec spec, LayerTimes times, Plan plan) {
  /** Strengths of regularisation that a fit of the repair tries, as far as was seen. */
  private static final int STRENGTHS = 3;

  /** Strengths of the fits of a search, which do not choose. */
  private static final int SEARCH_STRENGTHS = 1;

  /** The program itself: the Java virtual machine, libtorch, ND4J and the tokenizer. */
  private static final long PROGRAM_BYTES = 600L << 20;

  /** One window of so many judges. */
  private static final int SEARCH_JUDGING = 4;

  private static final int REPAIR_JUDGING = 8;

  /** Gram matrices that a solution needs. */
  private static final int GRAM_MATRICES = 5;

  private static final long MOST_KEPT_INPUTS = 1L << 30;

  /**
   * Streams of all tokens that a repair holds: before, between and behind parts, of both models.
   */
  private static final int STREAMS = 6;

  /** Tokens of a window of a repair. */
  private static final int REPAIR_WINDOW = 256;

  /**
   * What is to be calibrated.
   *
   * @param samples their number
   * @param tokens of each
   * @param strategy how the map is searched
   * @param acrossKinds see {@link CalibrationSettings#acrossKinds}
   * @param goals how many layers are to share or to be windowed
   * @param repairTokens of the text of a repair; 0 for none
   * @param maxStateBytes most bytes of hidden states kept between candidates
   * @param bytesPerElement of a weight and of a state
   * @param offloaded whether one layer is in memory at a time
   */
  public record Plan(
      int samples,
      int tokens,
      SearchStrategy strategy,
      boolean acrossKinds,
      SearchGoals goals,
      int repairTokens,
      long maxStateBytes,
      int bytesPerElement,
      boolean offloaded) {}

  /**
   * A prediction.
   *
   * @param tests candidates that are compared with the unshared model
   * @param maps maps that are repaired in the search
   * @param load seconds until the weights are in memory
   * @param search seconds of ranking and search
   * @param repair seconds of the repair
   */
  public record Cost(long tests, long maps, double load, double search, double repair) {

    /** All seconds. */
    public double seconds() {
      return load + search + repair;
    }
  }

  /**
   * Predicts the time.
   *
   * @param testsPerLayer candidates that are tested for each layer that comes to share
   */
  public Cost cost(int testsPerLayer) {
    Counts counts = counts(testsPerLayer);
    double sampleTokens = (double) plan.samples() * plan.tokens();
    double ranked = spec.layers() + counts.testedLayers();
    double windows = BenchProbe.tokens(spec, plan.maxStateBytes());
    double search =
        ranked * sampleTokens * times.runToken()
            + counts.walkedLayers() * windows * times.walkToken()
            + fits(counts.fits(), windows, SEARCH_STRENGTHS)
            + counts.queryFits() * searchQueries().seconds(windows)
            + counts.maps() * windows / SEARCH_JUDGING * times.judgeToken();
    if (counts.maps() > 0) {
      search += 2 * spec.layers() * windows * times.walkToken();
    }
    double repair = repairSeconds(counts);
    if (!plan.offloaded()) {
      return new Cost(counts.tests(), counts.maps(), readAll(), search, repair);
    }
    search += (ranked + counts.walkedLayers()) * times.read() + counts.maps() * headRead();
    repair += plan.repairTokens() == 0 ? 0 : 2 * readAll();
    return new Cost(counts.tests(), counts.maps(), 0, search, repair);
  }

  /** Most bytes in memory at once. */
  public long bytes() {
    ModelSize size = new ModelSize(spec);
    double held = plan.offloaded() ? size.largestLayer() * 1.5 : size.weights();
    double search = stateBytes() + (judgesInSearch() ? benchBytes() : 0);
    return PROGRAM_BYTES
        + (long) (held * plan.bytesPerElement())
        + (long) Math.max(search, plan.repairTokens() == 0 ? 0 : repairBytes());
  }

  /** Bytes of all weights as they are kept in memory. */
  public long weightBytes() {
    return (long) (new ModelSize(spec).weights() * plan.bytesPerElement());
  }

  /** Bytes of hidden states, keys and values of the accepted map and a candidate. */
  public long stateBytes() {
    long tokens = (long) plan.samples() * plan.tokens();
    long states = 2 * tokens * spec.layers() * spec.hiddenSize() * plan.bytesPerElement();
    return Math.min(states, plan.maxStateBytes()) + 2 * tokens * keyValueBytes();
  }

  private Counts counts(int testsPerLayer) {
    return new SearchRehearsal(spec, plan.acrossKinds(), plan.goals(), testsPerLayer)
        .run(plan.strategy());
  }

  private double repairSeconds(Counts counts) {
    double tokens = plan.repairTokens();
    if (tokens == 0) {
      return 0;
    }
    int refitted = spec.layers() - counts.firstReduced();
    double judging = tokens / REPAIR_JUDGING;
    return (spec.layers() + refitted) * tokens * times.walkToken()
        + fits(refitted, tokens, STRENGTHS)
        + counts.plan().map().sharedLayers() * repairQueries().seconds(tokens)
        + spec.layers() * judging * times.runToken()
        + 2 * judging * times.judgeToken();
  }

  private double fits(long count, double tokens, int strengths) {
    return count * (tokens * times.fitToken() + strengths * times.solve());
  }

  private QueryFitCost searchQueries() {
    return new QueryFitCost(spec, times, BenchProbe.QUERIES, BenchProbe.WINDOW_TOKENS);
  }

  private QueryFitCost repairQueries() {
    return new QueryFitCost(spec, times, RepairSettings.DEFAULT.queries(), REPAIR_WINDOW);
  }

  private boolean judgesInSearch() {
    return !(plan.strategy() instanceof CandidateOrder)
        || plan.strategy() instanceof RepairAwareOrder;
  }

  /** Seconds to read all layers, and what stands outside them as if it were a part of one. */
  private double readAll() {
    ModelSize size = new ModelSize(spec);
    return times.read() * size.weights() / size.layer();
  }

  private double headRead() {
    ModelSize size = new ModelSize(spec);
    return times.read() * size.head() / size.layer();
  }

  /** While a map is accepted, its walk and that of the map before are held. */
  private long benchBytes() {
    long tokens = BenchProbe.tokens(spec, plan.maxStateBytes());
    long stream = tokens * spec.hiddenSize() * plan.bytesPerElement();
    return (long) spec.layers() * (BenchProbe.STREAMS_PER_LAYER + 1) * stream
        + 3 * tokens * keyValueBytes();
  }

  private double repairBytes() {
    double stream = (double) plan.repairTokens() * spec.hiddenSize() * plan.bytesPerElement();
    double inputs = LayerTimes.fitInputs(spec);
    double kept = Math.min(MOST_KEPT_INPUTS, plan.repairTokens() * inputs * plan.bytesPerElement());
    double grams = GRAM_MATRICES * Double.BYTES * (inputs + 1) * (inputs + 1);
    boolean shares = counts(1).plan().map().sharedLayers() > 0;
    double queries = shares ? repairQueries().bytes(plan.repairTokens()) : 0;
    return STREAMS * stream + Math.max(kept + grams, queries);
  }

  private long keyValueBytes() {
    return spec.kvBytesPerToken(SharingMap.identity(spec.layers()), plan.bytesPerElement());
  }
}
