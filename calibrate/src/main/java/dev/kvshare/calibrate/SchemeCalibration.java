package dev.kvshare.calibrate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Provenance;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.calibrate.capture.CandidateRunner;
import dev.kvshare.calibrate.capture.SampleBatch;
import java.util.Arrays;
import java.util.List;

/**
 * Makes a policy of a scheme that was chosen by hand: nothing is searched, but the similarity to
 * the unshared model is measured as for a searched one.
 */
public final class SchemeCalibration {
  private static final int BATCH_TOKENS = 4096;

  private final Decoder decoder;
  private final ModelIdentity model;

  /**
   * A calibration of one model; it closes nothing.
   *
   * @param model its identity with the fingerprint, as the policy is to name it
   */
  public SchemeCalibration(Decoder decoder, ModelIdentity model) {
    this.decoder = decoder;
    this.model = model;
  }

  /**
   * Measures a plan and makes it a policy.
   *
   * @param scheme its name, as the policy is to give it
   * @param dataset the text that the samples are from
   * @param samples token ids, one array a sample, none empty
   * @throws IllegalArgumentException if no policy can express the plan
   * @throws dev.kvshare.apply.policy.PolicyException if the model cannot be run under the plan
   */
  public Policy calibrate(
      Plan plan,
      String scheme,
      DatasetReference dataset,
      List<int[]> samples,
      CalibrationListener listener) {
    // Refuses what no policy can say before the long part.
    Policy policy = Policy.of(model, plan).withTool(CalibratedPolicy.tool());
    Provenance calibration =
        Provenance.builder()
            .method(scheme)
            .acrossKinds(decoder.spec().acrossKinds(plan.map()) >= 0)
            .similarity(similarity(plan, samples, listener))
            .dataset(dataset)
            .samples(samples.size())
            .tokensPerSample(samples.stream().mapToInt(sample -> sample.length).max().orElse(0))
            .build();
    return policy.withCalibration(calibration);
  }

  /** Mean cosine similarity of the flattened last hidden states to the unshared model's. */
  private double similarity(Plan plan, List<int[]> samples, CalibrationListener listener) {
    double cosines = 0;
    int done = 0;
    for (SampleBatch batch : SampleBatch.of(samples, BATCH_TOKENS)) {
      Interrupts.check();
      listener.progressed(
          CalibrationListener.Progress.of(CalibrationListener.Phase.CAPTURE, done, samples.size()));
      float[] unshared = lastHidden(Plan.identity(plan.map().layers()), batch);
      float[] shared = lastHidden(plan, batch);
      int size = unshared.length / batch.size();
      for (int row = 0; row < batch.size(); row++) {
        float[] first = Arrays.copyOfRange(unshared, row * size, (row + 1) * size);
        cosines += CandidateRunner.cosine(first, shared, row);
      }
      done += batch.size();
    }
    double mean = cosines / samples.size();
    if (!Double.isFinite(mean)) {
      throw new CalibrationException(
          "The similarity under the map "
              + plan.map()
              + " is not a number: check the weights with `kvshare inspect`, or use --dtype float32.");
    }
    return mean;
  }

  /** Last hidden states after the final norm, float32 [B, T, E] row-major. */
  private float[] lastHidden(Plan plan, SampleBatch batch) {
    try (NDManager scratch = decoder.newManager();
        KvCache cache = decoder.newCache(CacheOptions.of(plan), batch.size(), batch.tokens())) {
      NDArray ids = scratch.create(batch.ids(), new Shape(batch.size(), batch.tokens()));
      NDArray hidden = decoder.layers(decoder.embed(ids, cache), cache, 0, plan.map().layers());
      return decoder.finalNorm(hidden).toType(DataType.FLOAT32, false).toFloatArray();
    }
  }
}
