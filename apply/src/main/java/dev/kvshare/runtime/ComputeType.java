package dev.kvshare.runtime;

import ai.djl.ndarray.types.DataType;

/** The number type in which weights are kept and a decoder computes. */
public enum ComputeType {
  /** 4 bytes. */
  FLOAT32(DataType.FLOAT32, dev.kvshare.model.DataType.F32),
  /** 2 bytes, 8 bits of exponent. */
  BFLOAT16(DataType.BFLOAT16, dev.kvshare.model.DataType.BF16),
  /** 2 bytes, 5 bits of exponent. */
  FLOAT16(DataType.FLOAT16, dev.kvshare.model.DataType.F16);

  private final DataType engineType;
  private final dev.kvshare.model.DataType checkpointType;

  ComputeType(DataType engineType, dev.kvshare.model.DataType checkpointType) {
    this.engineType = engineType;
    this.checkpointType = checkpointType;
  }

  /** The engine's name for it. */
  public DataType engineType() {
    return engineType;
  }

  /** The checkpoint format's name for it. */
  public dev.kvshare.model.DataType checkpointType() {
    return checkpointType;
  }

  /** Bytes of one number. */
  public int bytes() {
    return engineType.getNumOfBytes();
  }
}
