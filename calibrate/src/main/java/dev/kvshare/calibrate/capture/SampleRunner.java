package dev.kvshare.calibrate.capture;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import java.util.function.IntFunction;

/**
 * Runs the samples through the model under candidate maps and compares the last hidden states with
 * those of the unshared model.
 *
 * <p>Samples run in batches of equal lengths, and each candidate resumes at the first layer that it
 * changes, so a similarity differs from that of samples run one by one only by the rounding of the
 * engine's batched operators (below 1e-5).
 *
 * <p>A candidate is dropped at the first sample after which it cannot pass. That sample depends on
 * the cosines alone, not on the batches, although the rest of its batch has been run by then:
 * memory and batch size change nothing in the policy.
 *
 * <p>Where the decoder reads layers from a file, all batches and several candidates go through a
 * layer together ({@link LayerPasses}); the outcome is the same.
 */
public final class SampleRunner implements SimilarityMeter, AutoCloseable {
  /** More than what rounding may add to a sum of cosines. */
  private static final double ROUNDING = 1e-9;

  /** Beyond this many, reading a layer costs little beside running it. */
  private static final int MOST_CANDIDATES = 8;

  private static final int PLAN_BATCH_TOKENS = 4096;

  private final Decoder decoder;
  private final List<ResumableBatch> batches = new ArrayList<>();
  private final LayerPasses passesOrNull;
  private final int samples;
  private final long maxStateBytes;
  private List<float[]> baseline;
  private long reference;

  /**
   * A runner under the identity map with nothing run.
   *
   * @param samples token ids, one array a sample
   * @param maxStateBytes most bytes kept for resuming: half for hidden states, half for keys and
   *     values of maps that were accepted
   * @param maxBatchTokens most tokens that run at once
   */
  public SampleRunner(
      Decoder decoder, List<int[]> samples, long maxStateBytes, int maxBatchTokens) {
    this.decoder = decoder;
    this.samples = samples.size();
    this.maxStateBytes = maxStateBytes;
    int stride = stride(decoder.spec(), samples, maxStateBytes);
    for (SampleBatch batch : SampleBatch.of(samples, maxBatchTokens)) {
      batches.add(new ResumableBatch(decoder, batch, stride));
    }
    this.passesOrNull =
        decoder.readsLayers()
            ? new LayerPasses(
                batches,
                decoder.spec().layers(),
                candidatesOfPass(decoder.spec(), samples, maxStateBytes))
            : null;
  }

  /** Candidates whose keys and values fit into a quarter of the memory; at least one. */
  private static int candidatesOfPass(ModelSpec spec, List<int[]> samples, long maxStateBytes) {
    long tokens = samples.stream().mapToLong(sample -> sample.length).sum();
    SharingMap unshared = SharingMap.identity(spec.layers());
    long bytes = tokens * spec.kvUse(Plan.of(unshared)).bytesPerToken(Float.BYTES);
    return (int) Math.max(1, Math.min(MOST_CANDIDATES, maxStateBytes / 4 / bytes));
  }

  /** Distance of the layers whose states are kept, so that two maps' states fit. */
  private static int stride(ModelSpec spec, List<int[]> samples, long maxStateBytes) {
    long tokens = samples.stream().mapToLong(sample -> sample.length).sum();
    long layerBytes = tokens * spec.hiddenSize() * Float.BYTES;
    long fitting = Math.max(1, maxStateBytes / 4 / layerBytes);
    return (int) Math.max(1, (spec.layers() + fitting - 1) / fitting);
  }

  /**
   * Runs the unshared model and makes its last hidden states the baseline.
   *
   * @return sums of the keys and values of the samples as long as the first
   */
  public KvDistances capture(CalibrationListener listener) {
    int layers = decoder.spec().layers();
    KvDistances sums = new KvDistances(layers, samples);
    int tokens = batches.get(0).batch().tokens();
    List<float[]> captured = new ArrayList<>(Arrays.asList(new float[samples][]));
    IntFunction<float[]> lastHidden = lastHidden(listener);
    for (int number = 0; number < batches.size(); number++) {
      ResumableBatch batch = batches.get(number);
      float[] hidden = lastHidden.apply(number);
      for (int row = 0; row < batch.batch().size(); row++) {
        captured.set(batch.batch().samples().get(row), row(hidden, batch.batch(), row));
      }
      requireFinite(batch.batch(), SharingMap.identity(layers), hidden);
      if (batch.batch().tokens() == tokens) {
        batch.addTo(sums);
      }
    }
    report(listener, samples);
    compareWith(captured);
    return sums;
  }

  /**
   * Sets the last hidden states of the unshared model, and counts its pass.
   *
   * @param lastHidden float32 [T, E], one array a sample
   */
  public void compareWith(List<float[]> lastHidden) {
    baseline = List.copyOf(lastHidden);
    reference += (long) decoder.spec().layers() * samples;
  }

  /** Last hidden states of the unshared model, float32 [T, E], one array a sample. */
  public List<float[]> baseline() {
    return baseline;
  }

  @Override
  public Similarity similarity(SharingMap candidate, double threshold) {
    reference += 2L * decoder.spec().layers() * samples;
    IntFunction<float[]> lastHidden = lastHidden(candidate);
    double[] cosines = new double[samples];
    double sum = 0;
    int run = 0;
    for (int number = 0; number < batches.size(); number++) {
      ResumableBatch batch = batches.get(number);
      float[] hidden = lastHidden.apply(number);
      requireFinite(batch.batch(), candidate, hidden);
      for (int row = 0; row < batch.batch().size(); row++) {
        int sample = batch.batch().samples().get(row);
        cosines[sample] = cosine(baseline.get(sample), hidden, row);
        requireNumber(cosines[sample], candidate);
        sum += cosines[sample];
        run++;
        if (run < samples && sum + (samples - run) < samples * threshold - ROUNDING) {
          return new Similarity(sum / run, run, samples);
        }
      }
    }
    return new Similarity(Arrays.stream(cosines).average().orElseThrow(), samples, samples);
  }

  @Override
  public void announce(Iterator<SharingMap> candidates) {
    if (passesOrNull != null) {
      passesOrNull.announce(candidates);
    }
  }

  /** The last hidden states of a batch, by its number, under the accepted map. */
  private IntFunction<float[]> lastHidden(CalibrationListener listener) {
    if (passesOrNull != null) {
      int layers = decoder.spec().layers();
      return passesOrNull.run(layer -> report(listener, samples * layer / layers))::get;
    }
    return number -> {
      ResumableBatch batch = batches.get(number);
      report(listener, batch.batch().samples().get(0));
      batch.begin();
      run(batch);
      return batch.last();
    };
  }

  /** The same under a candidate. */
  private IntFunction<float[]> lastHidden(SharingMap candidate) {
    if (passesOrNull != null) {
      return passesOrNull.run(candidate)::get;
    }
    return number -> {
      ResumableBatch batch = batches.get(number);
      batch.begin(List.of(candidate));
      run(batch);
      return batch.last(0);
    };
  }

  private static void run(ResumableBatch batch) {
    for (int layer = batch.firstLayer(); layer < batch.layers(); layer++) {
      batch.step(layer);
    }
  }

  private static void requireNumber(double cosine, SharingMap candidate) {
    if (Double.isNaN(cosine)) {
      throw new CalibrationException(
          "The similarity under the map "
              + candidate
              + " cannot be computed, because all last hidden states of a sample are zero.");
    }
  }

  @Override
  public void accepted(SharingMap map) {
    long bytes = 0;
    for (ResumableBatch batch : batches) {
      batch.accept(map);
      bytes += batch.cacheBytes();
    }
    if (passesOrNull != null) {
      passesOrNull.accepted();
    }
    if (bytes > maxStateBytes / 2) {
      batches.forEach(batch -> batch.restart(map));
    }
  }

  @Override
  public LayerWork work() {
    long evaluations = batches.stream().mapToLong(ResumableBatch::evaluations).sum();
    return new LayerWork(evaluations, reference);
  }

  /** Cosine of a sample's states with those in one row of a batch, all positions as one vector. */
  public static double cosine(float[] first, float[] batch, int row) {
    int offset = row * first.length;
    double dot = 0;
    double firstSquare = 0;
    double secondSquare = 0;
    for (int i = 0; i < first.length; i++) {
      double a = first[i];
      double b = batch[offset + i];
      dot += a * b;
      firstSquare += a * a;
      secondSquare += b * b;
    }
    return dot / Math.sqrt(firstSquare * secondSquare);
  }

  /**
   * Of a plan of any kind: mean cosine similarity of the flattened last hidden states to the
   * unshared model's.
   */
  public static double similarity(
      Decoder decoder, Plan wanted, List<int[]> ids, CalibrationListener listener) {
    double cosines = 0;
    int done = 0;
    for (SampleBatch batch : SampleBatch.of(ids, PLAN_BATCH_TOKENS)) {
      CalibrationException.Interrupted.check();
      listener.progressed(
          CalibrationListener.Progress.of(CalibrationListener.Phase.CAPTURE, done, ids.size()));
      float[] unshared = lastHidden(decoder, Plan.identity(wanted.map().layers()), batch);
      float[] reduced = lastHidden(decoder, wanted, batch);
      int size = unshared.length / batch.size();
      for (int row = 0; row < batch.size(); row++) {
        float[] first = Arrays.copyOfRange(unshared, row * size, (row + 1) * size);
        cosines += cosine(first, reduced, row);
      }
      done += batch.size();
    }
    double mean = cosines / ids.size();
    if (!Double.isFinite(mean)) {
      throw new CalibrationException(
          "The similarity under the plan %s is not a number: check the weights with `kvshare inspect`, or compute in float32."
              .formatted(wanted));
    }
    return mean;
  }

  /** Last hidden states after the final norm, float32 [B, T, E] row-major. */
  private static float[] lastHidden(Decoder decoder, Plan wanted, SampleBatch batch) {
    try (NDManager scratch = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(wanted), batch.size(), batch.tokens())) {
      NDArray ids = scratch.create(batch.ids(), new Shape(batch.size(), batch.tokens()));
      NDArray hidden = decoder.layers(decoder.embed(ids, cache), cache, 0, wanted.map().layers());
      return decoder.finalNorm(hidden).toType(DataType.FLOAT32, false).toFloatArray();
    }
  }

  private static float[] row(float[] hidden, SampleBatch batch, int row) {
    int size = hidden.length / batch.size();
    return Arrays.copyOfRange(hidden, row * size, (row + 1) * size);
  }

  private void report(CalibrationListener listener, int done) {
    listener.progressed(
        CalibrationListener.Progress.of(CalibrationListener.Phase.CAPTURE, done, samples));
  }

  @Override
  public void close() {
    batches.forEach(ResumableBatch::close);
  }

  /**
   * Checks last hidden states; only if they are bad are the layers run again to find the first bad
   * one.
   *
   * @param hidden last hidden states of the batch under {@code map}, float32 [B, T, E] row-major
   */
  private void requireFinite(SampleBatch batch, SharingMap map, float[] hidden) {
    if (firstBad(hidden) >= 0) {
      throw new CalibrationException(notFinite(batch, map));
    }
  }

  private String notFinite(SampleBatch batch, SharingMap map) {
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(map, batch.size(), batch.tokens())) {
      NDArray ids = manager.create(batch.ids(), new Shape(batch.size(), batch.tokens()));
      NDArray hidden = decoder.embed(ids, cache);
      String where = describe(hidden, batch, "the embedding");
      for (int layer = 0; layer < map.layers() && where == null; layer++) {
        NDArray next = decoder.layers(hidden, cache, layer, layer + 1);
        hidden.close();
        hidden = next;
        where = describe(hidden, batch, "layer " + layer);
      }
      return (where == null ? "The final norm gave a number that is not finite." : where)
          + " The map was "
          + map
          + ". The weights are finite, but a product of them is not: compute in a type with a larger"
          + " range (float32, bfloat16), or look for a damaged tensor there.";
    }
  }

  private static String describe(NDArray hidden, SampleBatch batch, String where) {
    try (NDArray wide = hidden.toType(DataType.FLOAT32, true)) {
      float[] numbers = wide.toFloatArray();
      int bad = firstBad(numbers);
      if (bad < 0) {
        return null;
      }
      int rowSize = numbers.length / batch.size();
      return "The output of %s is %s for sample %d at token %d, so nothing can be compared."
          .formatted(
              where,
              numbers[bad],
              batch.samples().get(bad / rowSize),
              bad % rowSize / (rowSize / batch.tokens()));
    }
  }

  private static int firstBad(float[] numbers) {
    for (int i = 0; i < numbers.length; i++) {
      if (!Float.isFinite(numbers[i])) {
        return i;
      }
    }
    return -1;
  }

  /**
   * Runs all batches, and several candidates, through a layer before the next one: where a layer is
   * read from a file when it runs, a pass reads each once.
   *
   * <p>Candidates that would come next if the first one is refused ride along. There are none after
   * a map was accepted, since they would be tested under a map that is not the accepted one any
   * more; each pass of which no map was accepted lets the next one have twice as many candidates.
   */
  private static final class LayerPasses {
    private final List<ResumableBatch> batches;
    private final int layers;
    private final int mostCandidates;
    private final Map<SharingMap, List<float[]>> measured = new HashMap<>();
    private int candidates = 1;
    private Iterator<SharingMap> following = List.<SharingMap>of().iterator();

    /**
     * @param mostCandidates of one pass
     */
    LayerPasses(List<ResumableBatch> batches, int layers, int mostCandidates) {
      this.batches = batches;
      this.layers = layers;
      this.mostCandidates = mostCandidates;
    }

    /** Candidates that come after the next one as long as none is accepted. */
    void announce(Iterator<SharingMap> next) {
      following = next;
    }

    /**
     * Runs the accepted map.
     *
     * @param done told the layers that are done, after each
     * @return for each batch last hidden states after the final norm, float32 [B, T, E] row-major
     */
    List<float[]> run(IntConsumer done) {
      batches.forEach(ResumableBatch::begin);
      pass(done);
      return batches.stream().map(ResumableBatch::last).toList();
    }

    /**
     * Runs a candidate, unless it was run with another one; otherwise as {@link #run(IntConsumer)}.
     */
    List<float[]> run(SharingMap candidate) {
      if (!measured.containsKey(candidate)) {
        if (!measured.isEmpty()) {
          candidates = Math.min(mostCandidates, 2 * candidates);
        }
        measured.clear();
        List<SharingMap> together = new ArrayList<>(List.of(candidate));
        while (together.size() < candidates && following.hasNext()) {
          together.add(following.next());
        }
        batches.forEach(batch -> batch.begin(together));
        pass(done -> {});
        for (int number = 0; number < together.size(); number++) {
          List<float[]> hidden = new ArrayList<>();
          for (ResumableBatch batch : batches) {
            hidden.add(batch.last(number));
          }
          measured.put(together.get(number), hidden);
        }
      }
      return measured.get(candidate);
    }

    /** Says that another map was accepted. */
    void accepted() {
      measured.clear();
      candidates = 1;
    }

    private void pass(IntConsumer done) {
      int first = batches.stream().mapToInt(ResumableBatch::firstLayer).min().orElse(layers);
      for (int layer = first; layer < layers; layer++) {
        for (ResumableBatch batch : batches) {
          if (layer >= batch.firstLayer()) {
            batch.step(layer);
          }
        }
        done.accept(layer + 1);
      }
    }
  }
}
