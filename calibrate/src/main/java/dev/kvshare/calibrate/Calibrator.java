package dev.kvshare.calibrate;

import dev.kvshare.policy.DatasetReference;
import dev.kvshare.policy.ModelIdentity;
import dev.kvshare.runtime.Decoder;
import java.util.List;

/**
 * Finds a sharing map for a model: the entry point of this module.
 *
 * <p>Nothing is written except the journal, and nothing is printed. An interrupt of the calibrating
 * thread ends it with {@link CalibrationInterruptedException} and keeps the journal. Not safe for
 * use by several threads at once, as the decoder is not.
 */
public final class Calibrator {
  private final Decoder decoder;
  private final ModelIdentity model;

  /**
   * A calibrator of one model; it closes nothing.
   *
   * @param decoder the model
   * @param model its identity with the fingerprint, as the policy is to name it
   */
  public Calibrator(Decoder decoder, ModelIdentity model) {
    this.decoder = decoder;
    this.model = model;
  }

  /**
   * Runs the unshared model on the samples.
   *
   * @param dataset the text that the samples are from, as the policy is to name it
   * @param samples token ids, one array a sample
   */
  public KvStatistics capture(
      DatasetReference dataset, List<int[]> samples, CalibrationListener listener) {
    return pending(decoder.spec().modelType() + model);
  }

  /**
   * Searches with statistics that were captured before.
   *
   * @throws CalibrationException if they are of another model
   */
  public CalibrationResult search(
      KvStatistics statistics, CalibrationSettings settings, CalibrationListener listener) {
    return pending(decoder.spec().modelType() + model);
  }

  /** {@link #capture} and {@link #search} with the states of the unshared model kept in between. */
  public CalibrationResult calibrate(
      DatasetReference dataset,
      List<int[]> samples,
      CalibrationSettings settings,
      CalibrationListener listener) {
    return search(capture(dataset, samples, listener), settings, listener);
  }

  @SuppressWarnings("TypeParameterUnusedInFormals")
  private static <T> T pending(String what) {
    throw new CalibrationException(what);
  }
}
