package dev.kvshare.apply.decoder;

import dev.kvshare.apply.decoder.script.ComputeType;

/**
 * How a decoder runs.
 *
 * @param device {@code "cpu"} or {@code "cuda:N"}
 * @param computeType number type of weights, activations and cache
 * @param threads threads of one operator on the CPU, one number for the process, that of the last
 *     decoder; 0 leaves the engine's default
 * @param weights how matrices are kept
 * @param residency which weights are in memory
 */
public record DecoderOptions(
    String device,
    ComputeType computeType,
    int threads,
    WeightForm weights,
    WeightResidency residency) {

  /** How a decoder keeps the matrices that hidden states are multiplied with. */
  public enum WeightForm {
    /** As numbers of the compute type, in whatever layout products are fastest with. */
    FULL,
    /**
     * As 8-bit integers with one scale an output row, on the CPU: a quarter of the memory of
     * float32. Products are computed in bfloat16.
     */
    INT8
  }

  /** Which weights of a decoder are in memory. */
  public enum WeightResidency {
    /** All of them, from loading on. */
    ALL,
    /**
     * One layer at a time, read from the checkpoint whenever another one runs: for models larger
     * than memory. Of the embedding the rows that a text names, and the output head while it is
     * needed. The checkpoint stays open as long as the decoder. Results are those of {@link #ALL}.
     */
    ONE_LAYER
  }

  /** The CPU, float32, the engine's number of threads. */
  public static final DecoderOptions DEFAULT = new DecoderOptions("cpu", ComputeType.FLOAT32, 0);

  /** All weights in memory as numbers of the compute type. */
  public DecoderOptions(String device, ComputeType computeType, int threads) {
    this(device, computeType, threads, WeightForm.FULL, WeightResidency.ALL);
  }

  /** Checks the values. */
  public DecoderOptions {
    if (!device.equals("cpu") && !device.matches("cuda:\\d+")) {
      throw new IllegalArgumentException(
          "device is '" + device + "'; expected \"cpu\" or \"cuda:N\" with N the number of a GPU.");
    }
    if (weights == WeightForm.INT8 && !device.equals("cpu")) {
      throw new IllegalArgumentException(
          "weights are int8 and the device is '%s'; int8 weights run on the cpu. Use weights of the compute type there."
              .formatted(device));
    }
    if (threads < 0) {
      throw new IllegalArgumentException("threads is " + threads + "; expected 0 or more.");
    }
  }

  /** The same with matrices kept in another form. */
  public DecoderOptions withWeights(WeightForm form) {
    return new DecoderOptions(device, computeType, threads, form, residency);
  }

  /** The same with other weights in memory. */
  public DecoderOptions withResidency(WeightResidency which) {
    return new DecoderOptions(device, computeType, threads, weights, which);
  }
}
