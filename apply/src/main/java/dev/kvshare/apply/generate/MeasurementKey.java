package dev.kvshare.apply.generate;

import dev.kvshare.apply.decoder.DecoderOptions.WeightForm;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.plan.Plan;

/**
 * What a measurement of a model depends on besides its text. Journals, statistics, sweeps and
 * comparisons take up a stored number only where its key is equal.
 *
 * @param fingerprint content of the model
 * @param computeType number format of weights, activations and KV cache
 * @param weightForm how the matrices are kept
 * @param device {@code cpu} or {@code cuda:N}
 * @param plan the plan under which the model ran, null where it stands elsewhere
 */
public record MeasurementKey(
    String fingerprint, ComputeType computeType, WeightForm weightForm, String device, Plan plan) {

  /** The key in one line, for a file. */
  public String line() {
    String model =
        String.join(" ", fingerprint, computeType.toString(), weightForm.toString(), device);
    return plan == null ? model : model + " " + plan;
  }
}
