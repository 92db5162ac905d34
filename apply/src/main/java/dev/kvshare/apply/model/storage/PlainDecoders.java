package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.DataType;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Decoders of the types without blocks. */
public final class PlainDecoders {
  private static final VarHandle FLOATS =
      MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle SHORTS =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);

  private PlainDecoders() {}

  /** The decoder of F32, F16 or BF16; null for every other type. */
  public static BlockDecoder of(DataType type) {
    return switch (type) {
      case F32 -> PlainDecoders::float32;
      case F16 -> PlainDecoders::float16;
      case BF16 -> PlainDecoders::bfloat16;
      default -> null;
    };
  }

  private static void float32(byte[] blocks, int count, float[] values) {
    for (int i = 0; i < count; i++) {
      values[i] = (float) FLOATS.get(blocks, i * Float.BYTES);
    }
  }

  private static void float16(byte[] blocks, int count, float[] values) {
    for (int i = 0; i < count; i++) {
      values[i] = HalfPrecision.fromFloat16((short) SHORTS.get(blocks, i * Short.BYTES));
    }
  }

  private static void bfloat16(byte[] blocks, int count, float[] values) {
    for (int i = 0; i < count; i++) {
      values[i] = HalfPrecision.fromBfloat16((short) SHORTS.get(blocks, i * Short.BYTES));
    }
  }
}
