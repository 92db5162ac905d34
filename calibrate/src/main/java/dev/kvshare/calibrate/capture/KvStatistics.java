package dev.kvshare.calibrate.capture;

import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import java.util.List;

/**
 * What a search needs to know of the unshared model: captured once, kept in a file ({@link
 * StatisticsFile}) so that another size, threshold or method needs neither text nor tokenizer nor
 * the capture pass.
 *
 * @param model the model that was run
 * @param key what was measured with, {@link dev.kvshare.apply.generate.MeasurementKey#line}
 * @param dataset the text that the samples are from
 * @param samples token ids, one array a sample; the lengths may differ
 * @param distances distances of the layers' averaged keys and values
 * @param lastHidden last hidden states after the final norm, one array a sample, float32 [T, E]
 */
public record KvStatistics(
    ModelIdentity model,
    String key,
    DatasetReference dataset,
    List<int[]> samples,
    DistanceMatrix distances,
    List<float[]> lastHidden) {
  public KvStatistics {
    samples = List.copyOf(samples);
    lastHidden = List.copyOf(lastHidden);
    if (samples.isEmpty()) {
      throw new CalibrationException.Usage(
          "There is no calibration sample: give a text with at least one sample.");
    }
    if (samples.size() != lastHidden.size()) {
      throw new IllegalArgumentException(
          samples.size() + " samples with the hidden states of " + lastHidden.size());
    }
  }

  /** Tokens of the longest sample. */
  public int tokensPerSample() {
    return samples.stream().mapToInt(sample -> sample.length).max().orElseThrow();
  }
}
