package dev.kvshare.runtime;

/**
 * How a decoder runs.
 *
 * @param device {@code "cpu"} or {@code "cuda:N"}
 * @param computeType number type of weights, activations and cache
 * @param threads threads of one operator on the CPU, set once a process; 0 leaves the engine's
 *     default
 */
public record DecoderOptions(String device, ComputeType computeType, int threads) {

  /** The CPU, float32, the engine's number of threads. */
  public static final DecoderOptions DEFAULT = new DecoderOptions("cpu", ComputeType.FLOAT32, 0);

  /** Checks the values. */
  public DecoderOptions {
    if (!device.equals("cpu") && !device.matches("cuda:\\d+")) {
      throw new IllegalArgumentException(
          "device is '" + device + "'; expected \"cpu\" or \"cuda:N\" with N the number of a GPU.");
    }
    if (threads < 0) {
      throw new IllegalArgumentException("threads is " + threads + "; expected 0 or more.");
    }
  }
}
