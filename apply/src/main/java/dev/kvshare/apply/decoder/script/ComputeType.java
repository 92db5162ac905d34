package dev.kvshare.apply.decoder.script;

import dev.kvshare.apply.model.DataType;
import java.util.Locale;

/** The number type in which weights are kept and a decoder computes. */
public enum ComputeType {
  /** 4 bytes. */
  FLOAT32(ai.djl.ndarray.types.DataType.FLOAT32, DataType.F32, 6),
  /** 2 bytes, 8 bits of exponent. */
  BFLOAT16(ai.djl.ndarray.types.DataType.BFLOAT16, DataType.BF16, 15),
  /** 2 bytes, 5 bits of exponent. */
  FLOAT16(ai.djl.ndarray.types.DataType.FLOAT16, DataType.F16, 5);

  private final ai.djl.ndarray.types.DataType engineType;
  private final DataType checkpointType;
  private final long scriptCode;

  ComputeType(ai.djl.ndarray.types.DataType engineType, DataType checkpointType, long scriptCode) {
    this.engineType = engineType;
    this.checkpointType = checkpointType;
    this.scriptCode = scriptCode;
  }

  /**
   * Finds a type by its whole name or a usual short one, in capitals or not.
   *
   * @throws IllegalArgumentException if there is none, with the names
   */
  public static ComputeType of(String name) {
    return switch (name.toLowerCase(Locale.ROOT)) {
      case "float32", "f32", "fp32" -> FLOAT32;
      case "bfloat16", "bf16" -> BFLOAT16;
      case "float16", "f16", "fp16" -> FLOAT16;
      default ->
          throw new IllegalArgumentException(
              "'%s' is no number format: expected float32 (f32, fp32), bfloat16 (bf16) or float16 (f16, fp16)"
                  .formatted(name));
    };
  }

  /** The checkpoint format's name for it. */
  public DataType checkpointType() {
    return checkpointType;
  }

  /** Bytes of one number. */
  public int bytes() {
    return engineType.getNumOfBytes();
  }

  /** The engine's name for it. */
  public ai.djl.ndarray.types.DataType engineType() {
    return engineType;
  }

  /** PyTorch's number for the type. */
  public long scriptCode() {
    return scriptCode;
  }
}
