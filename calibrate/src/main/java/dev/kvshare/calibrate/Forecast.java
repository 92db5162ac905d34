package dev.kvshare.calibrate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.sun.management.OperatingSystemMXBean;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.MachineSpeed;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.score.RecallPassages;
import dev.kvshare.calibrate.search.Method;
import dev.kvshare.calibrate.search.PairOrder;
import dev.kvshare.calibrate.search.Search;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.ShortRepair;
import dev.kvshare.calibrate.search.WindowCosts;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * What a calibration will take, before it is made. A rough estimate: the time of one layer on one
 * token times the numbers of tokens and layers that follow from the work. L layers:
 *
 * <pre>
 * capture   L layers on all samples
 * tests     L / 2 layers on all samples for each map that the papers' procedure tests, if each passes
 * scores    L layers forward, again with their gradients, and the actions, on the scored tokens
 * recall    L layers on the passages that choose, and the answers under each windowed layer alone and
 *           each plan; L layers on the passages that the result is about
 * plans     L layers of the unshared model and of each plan that is repaired and judged, and the fits
 *           of the layers that it reduces, on the passages of the search
 * repair    L layers of the unshared model and of the plan, and the fits
 * </pre>
 *
 * <p>A fit counts as so many runs of its layer, as was seen on models of 12 to 30 layers. Tests
 * that fail add to the time: expect up to half more or less.
 *
 * @param spec the model
 * @param work what is to be done
 * @param layerSeconds of one layer on one token
 * @param tests maps that are tested without repair, if each passes
 * @param plans plans that are repaired and judged
 * @param forwardTokens tokens that run through the whole model
 * @param backwardTokens tokens whose gradients go back through it
 * @param loadSeconds until the weights are in memory; with one layer in memory, all reading
 * @param searchSeconds of capture and search
 * @param repairSeconds of the repair
 * @param weightBytes of all weights in memory
 * @param bytes most bytes in memory at once
 */
public record Forecast(
    ModelSpec spec,
    Work work,
    double layerSeconds,
    int tests,
    int plans,
    long forwardTokens,
    long backwardTokens,
    double loadSeconds,
    double searchSeconds,
    double repairSeconds,
    long weightBytes,
    long bytes) {
  /**
   * Runs of a layer on the same tokens that a fit takes: of a layer that shares, and of another.
   */
  private static final double SEARCH_FIT = 0.6;

  private static final double REPAIR_SHARED_FIT = 1;
  private static final double REPAIR_FIT = 0.4;

  /** The unshared model and the plan; an eighth of the tokens without and with the repair. */
  private static final double REPAIR_PASSES = 2.25;

  private static final double MEASURING_PASSES = 2;

  /** Runs of a layer on the same tokens that its gradients take, and an action. */
  private static final double GRADIENTS = 3;

  private static final double ACTION = 0.5;

  /** Answers under one plan, as a part of reading the passages. */
  private static final double ANSWERS = 0.03;

  /** Layers alone that are judged, each on the judging passages and half of the layers. */
  private static final int BORDER = 2 * WindowCosts.BORDER;

  /** One token of so many judges. */
  private static final int SEARCH_JUDGING = 3;

  /** Time of norms, activations and copies, over that of the products. */
  private static final double BESIDE_PRODUCTS = 1.3;

  /** Weights that are read, made wider and packed; seen from a file in the page cache. */
  private static final double READ_BYTES_PER_SECOND = 1e9;

  /** The program itself: the Java virtual machine, libtorch, ND4J and the tokenizer. */
  private static final long PROGRAM_BYTES = 600L << 20;

  /** Hidden states, inputs and distributions that a repair keeps of each token. */
  private static final int REPAIR_STREAMS = 12;

  /** What {@link #measure} runs. */
  private static final int MEASURED_TOKENS = 512;

  private static final int ROUNDS = 5;

  /**
   * What is to be done.
   *
   * @param name of the method or of the given plan
   * @param methodOrNull how the plan is searched; null where it is given
   * @param samples their number
   * @param sampleTokens tokens of each
   * @param goals how many layers share or are windowed
   * @param passageTokens length of the passages that plans are repaired on
   * @param repairTokens of the text of the repair; 0 for none
   * @param refits whether weights are refitted to them; else the plan is measured on them
   * @param recallTokens of a passage that hides numbers; 0 for none
   * @param maxStateBytes most bytes of hidden states kept between candidates
   * @param bytesPerElement of a weight and of a state
   * @param offloaded whether one layer is in memory at a time
   */
  public record Work(
      String name,
      Method methodOrNull,
      int samples,
      int sampleTokens,
      SearchGoals goals,
      int passageTokens,
      int repairTokens,
      boolean refits,
      int recallTokens,
      long maxStateBytes,
      int bytesPerElement,
      boolean offloaded) {}

  /** Multiplies. */
  public static Forecast of(ModelSpec spec, double layerSeconds, Work work) {
    double layers = spec.layers();
    boolean ordered = work.methodOrNull() instanceof PairOrder;
    int sharing = work.goals().sharing().orElse(0);
    int windowed = work.goals().windowed().orElse(0);
    int tests = ordered ? sharing : 0;
    boolean judges = work.methodOrNull() != null && !ordered;
    int plans =
        judges
            ? (windowed > 0 ? 1 : 0)
                + (sharing > 0 ? 2 : 0)
                + (sharing > 0 && windowed == 0 ? 1 : 0)
            : 0;
    double reduced = Math.max(sharing, windowed);
    double sampleTokens = (double) work.samples() * work.sampleTokens();
    double scored = judges ? Search.scoredTokens(spec, work.maxStateBytes()) : 0;
    double judged =
        judges ? ShortRepair.tokens(spec, judgedPassage(work), work.maxStateBytes()) : 0;
    double head = 2 * headElements(spec) / multiplied(spec);
    double captured = work.methodOrNull() == null ? 2 * layers : layers + tests * layers / 2;
    int actions = (windowed > 0 ? 1 : 0) + (sharing > 0 ? 2 : 0);
    boolean windows = windowed > 0;
    double border = windows && judges ? BORDER * judged / SEARCH_JUDGING / 2 : 0;
    int window = windows && work.goals().window() != null ? work.goals().window().last() : 0;
    double asked = judges ? RecallPassages.choosingTokens(work.recallTokens(), window) : 0;
    double choosing = 2.0 * RecallPassages.CHOOSING * asked;
    double reporting = 2.0 * RecallPassages.REPORTING * work.recallTokens();
    double search =
        captured * sampleTokens
            + layers * (1 + GRADIENTS + actions * ACTION) * scored
            + layers * (choosing * (1 + ANSWERS * (plans + (windows ? layers : 0))) + reporting)
            + ((plans + 1) * layers + plans * (reduced * SEARCH_FIT + head / SEARCH_JUDGING))
                * judged
            + (layers + 2 * head) * border;
    int shared = windows ? 0 : sharing;
    double repairPasses = work.refits() ? REPAIR_PASSES : MEASURING_PASSES;
    double fits = work.refits() ? layers * REPAIR_FIT + shared * REPAIR_SHARED_FIT : 2 * head;
    double repair = (repairPasses * layers + fits) * work.repairTokens();
    double weights = elements(spec) * work.bytesPerElement();
    double passes = 1;
    if (work.offloaded()) {
      passes = captured / layers + (judges ? 4 + plans : 0) + (work.repairTokens() > 0 ? 2 : 0);
    }
    return new Forecast(
        spec,
        work,
        layerSeconds,
        tests,
        plans,
        (long)
            (captured / layers * sampleTokens
                + scored
                + (judges ? plans + 1 : 0) * judged
                + border
                + choosing
                + reporting
                + repairPasses * work.repairTokens()),
        (long) scored,
        passes * weights / READ_BYTES_PER_SECOND,
        search * layerSeconds,
        repair * layerSeconds,
        (long) weights,
        bytes(spec, work, weights, judged));
  }

  private static int judgedPassage(Work work) {
    return work.goals().windowed().isPresent() ? work.passageTokens() : ShortRepair.PASSAGE_TOKENS;
  }

  /** All seconds. */
  public double seconds() {
    return loadSeconds + searchSeconds + repairSeconds;
  }

  /** The estimate in words, a line each. */
  public List<String> lines() {
    SearchGoals goals = work.goals();
    String repair =
        work.repairTokens() == 0
            ? ""
            : format(
                "; %s on %,d tokens in passages of %d",
                work.refits() ? "repair" : "measured", work.repairTokens(), work.passageTokens());
    String wanted =
        Stream.of(
                goals.sharing().isPresent() ? goals.sharing().getAsInt() + " layers share" : "",
                goals.windowed().isPresent()
                    ? goals.windowed().getAsInt() + " layers are windowed"
                    : "")
            .filter(words -> !words.isEmpty())
            .collect(Collectors.joining(" or "));
    long machine =
        ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getTotalMemorySize();
    String verdict = "";
    if (bytes > machine) {
      verdict =
          work.offloaded()
              ? ", which is too little: take fewer samples or tokens of the repair, or less batch memory"
              : ", which is too little: keep one layer in memory at a time (--offload)";
    }
    return List.of(
        format(
            "%s, %d layers; one takes %.2f ms for 512 tokens (measured now)",
            spec.modelType(), spec.layers(), 512e3 * layerSeconds),
        format(
            "%s, %d samples of %d tokens, until %s%s:",
            work.name(), work.samples(), work.sampleTokens(), wanted, repair),
        format(
            "  about %s (load %s, search %s, repair %s); %,d tests, %,d repaired plans",
            duration(seconds()),
            duration(loadSeconds),
            duration(searchSeconds),
            duration(repairSeconds),
            tests,
            plans),
        format(
            "  about %,d tokens forward and %,d backward through the model",
            forwardTokens, backwardTokens),
        format(
            "memory: about %s; the weights in memory are %s, this machine has %s%s",
            gibibytes(bytes), gibibytes(weightBytes), gibibytes(machine), verdict));
  }

  private static String duration(double seconds) {
    if (seconds < 120) {
      return format("%.1f s", seconds);
    }
    return seconds < 7200 ? format("%.0f min", seconds / 60) : format("%.1f h", seconds / 3600);
  }

  private static String gibibytes(long size) {
    return size < 1L << 30
        ? format("%.0f MiB", size / 1048576.0)
        : format("%.1f GiB", size / 1073741824.0);
  }

  private static String format(String pattern, Object... values) {
    return String.format(Locale.ROOT, pattern, values);
  }

  private static long bytes(ModelSpec spec, Work work, double weights, double passageTokens) {
    double element = work.bytesPerElement();
    double token = spec.hiddenSize() * element;
    double keyValues = spec.kvUse(spec.plan()).unsharedBytes(1, work.bytesPerElement());
    double samples = (double) work.samples() * work.sampleTokens();
    double states = Math.min(2 * samples * spec.layers() * token, (double) work.maxStateBytes());
    double search =
        states
            + 2 * samples * keyValues
            + passageTokens
                * (spec.layers() * (ShortRepair.STREAMS_PER_LAYER + 1) * token + 3 * keyValues);
    double repair = work.repairTokens() * REPAIR_STREAMS * token;
    double held = work.offloaded() ? 1.5 * largestLayer(spec) * element : weights;
    return PROGRAM_BYTES + (long) (held + Math.max(search, repair));
  }

  /**
   * Measures the top layer of a model on made-up tokens, which takes the time of some ten runs.
   *
   * @param tokens of a passage
   * @return seconds of one layer on one token
   */
  public static double measure(Decoder decoder, int tokens) {
    ModelSpec spec = decoder.spec();
    int length = Math.min(tokens, spec.maxPositions());
    int batch = Math.max(1, MEASURED_TOKENS / length);
    int top = spec.layers() - 1;
    long[] ids =
        LongStream.range(0, (long) batch * length)
            .map(i -> i * 31 % spec.vocabularySize())
            .toArray();
    double least = Double.POSITIVE_INFINITY;
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SharingMap.identity(spec.layers()), batch, length);
        NDArray tensor = manager.create(ids, new Shape(batch, length));
        NDArray hidden = decoder.embed(tensor, cache)) {
      for (int round = 0; round <= ROUNDS; round++) {
        long start = System.nanoTime();
        decoder.layers(hidden, cache, top, top + 1).close();
        if (round > 0) {
          least = Math.min(least, (System.nanoTime() - start) / 1e9);
        }
      }
    }
    return least / ((double) batch * length);
  }

  /**
   * What a layer takes without weights to measure, from operations alone: 2 for each token and
   * weight, 2 T Hq D for attention to T tokens.
   *
   * @param tokens T
   * @return seconds of one layer on one token
   */
  public static double estimate(ModelSpec spec, MachineSpeed speed, int tokens) {
    var attention = spec.blocks().get(spec.layers() - 1).attention();
    double heads = (double) attention.queryHeads() * attention.headSize();
    return BESIDE_PRODUCTS
        * (2 * multiplied(spec) + 2 * tokens * heads)
        / speed.operationsPerSecond();
  }

  /** All weights as they are kept: a tied output head is a copy of the embedding. */
  private static double elements(ModelSpec spec) {
    return elements(spec.weights())
        + (spec.tiedHead() ? headElements(spec) : 0)
        + spec.blocks().stream().mapToDouble(block -> elements(block.weights())).sum();
  }

  private static double headElements(ModelSpec spec) {
    WeightSpec head = spec.weights().get(spec.tiedHead() ? WeightRole.EMBEDDING : WeightRole.HEAD);
    return head == null ? 0 : elements(head);
  }

  private static double largestLayer(ModelSpec spec) {
    return spec.blocks().stream().mapToDouble(block -> elements(block.weights())).max().orElse(0);
  }

  /** Weights of a layer that a token is multiplied with: of routed experts the chosen ones. */
  private static double multiplied(ModelSpec spec) {
    return spec.blocks().stream().mapToDouble(Forecast::multiplied).average().orElse(0);
  }

  private static double multiplied(BlockSpec block) {
    double all = elements(block.weights());
    BlockSpec.FeedForwardSpec.Experts experts = block.feedForward().experts();
    if (experts == null) {
      return all;
    }
    double routed =
        elements(block.weights().get(WeightRole.EXPERTS_GATE_UP))
            + elements(block.weights().get(WeightRole.EXPERTS_DOWN));
    return all - routed * (experts.count() - experts.perToken()) / experts.count();
  }

  private static double elements(Map<WeightRole, WeightSpec> weights) {
    return weights.values().stream().mapToDouble(Forecast::elements).sum();
  }

  private static double elements(WeightSpec weight) {
    return weight.shape().stream().mapToDouble(Long::doubleValue).reduce(1, (a, b) -> a * b);
  }
}
