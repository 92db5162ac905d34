package dev.kvshare.apply.decoder.weights;

/** How a decoder keeps the matrices that hidden states are multiplied with. */
public enum WeightForm {
  /** As numbers of the compute type, in whatever layout products are fastest with. */
  FULL,
  /**
   * As 8-bit integers with one scale an output row, on the CPU: a quarter of the memory of float32.
   * Products are computed in bfloat16.
   */
  INT8
}
