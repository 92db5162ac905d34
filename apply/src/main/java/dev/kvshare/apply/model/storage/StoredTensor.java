package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.DataType.HalfPrecision;
import dev.kvshare.apply.model.storage.StoredTensor.BlockDecoder;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * A tensor and where it lies.
 *
 * @param info name and shape as in the Hugging Face model, stored type and size
 * @param file the file that holds it
 * @param offset first byte in the file
 * @param decoder unpacks its type; null for types that cannot be decoded to floating point
 * @param order the order of its stored rows
 * @param shift added to each value after decoding
 */
public record StoredTensor(
    TensorInfo info,
    ModelFile file,
    long offset,
    BlockDecoder decoder,
    RowOrder order,
    float shift) {
  private static final VarHandle SHORTS =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);

  /** A tensor stored as the model has it. */
  public static StoredTensor plain(
      TensorInfo info, ModelFile file, long offset, BlockDecoder decoder) {
    return new StoredTensor(info, file, offset, decoder, new RowOrder.AsIs(), 0);
  }

  /** The same under another name. */
  public StoredTensor named(String name) {
    TensorInfo other = new TensorInfo(name, info.dataType(), info.shape(), info.bytes());
    return new StoredTensor(other, file, offset, decoder, order, shift);
  }

  /** First byte behind the tensor in the file. */
  public long end() {
    return offset + info.bytes();
  }

  /** Whether the stored values, in their order, are the model's. */
  public boolean isVerbatim() {
    return order instanceof RowOrder.AsIs && shift == 0;
  }

  /** In which order a file stores the rows of a tensor. */
  public sealed interface RowOrder {

    /** As in the Hugging Face model. */
    record AsIs() implements RowOrder {}

    /**
     * Llama query and key projections in GGUF: each head's rows are interleaved for llama.cpp's
     * form of rotary embedding, so row {@code 2j + a} of a head holds row {@code a * D/2 + j}.
     *
     * @param headSize D, rows of one head
     */
    record InterleavedHeads(int headSize) implements RowOrder {

      /** The stored row that holds the given row of the model. */
      public long stored(long row) {
        long head = row / headSize;
        int within = (int) (row % headSize);
        int half = headSize / 2;
        return head * headSize + 2L * (within % half) + within / half;
      }
    }

    /** Rows and columns exchanged (two axes). */
    record Transposed() implements RowOrder {}
  }

  /** Unpacks stored blocks of one data type. Stateless. */
  @FunctionalInterface
  public interface BlockDecoder {

    /** Decodes {@code count} blocks, laid end to end, to float32 values from index 0. */
    void decode(byte[] blocks, int count, float[] values);
  }

  /** The decoder of F32, F16 or BF16; null for every other type. */
  public static BlockDecoder plainDecoder(DataType type) {
    return switch (type) {
      case F32 ->
          (blocks, count, values) ->
              ByteBuffer.wrap(blocks)
                  .order(ByteOrder.LITTLE_ENDIAN)
                  .asFloatBuffer()
                  .get(values, 0, count);
      case F16 -> StoredTensor::float16;
      case BF16 -> StoredTensor::bfloat16;
      default -> null;
    };
  }

  /** Numbers as F32, F16 or BF16, little-endian. */
  public static ByteBuffer encode(float[] numbers, DataType type) {
    ByteBuffer bytes =
        ByteBuffer.allocate(Math.multiplyExact(numbers.length, type.blockBytes()))
            .order(ByteOrder.LITTLE_ENDIAN);
    for (float number : numbers) {
      switch (type) {
        case F16 -> bytes.putShort(HalfPrecision.toFloat16(number));
        case BF16 -> bytes.putShort(HalfPrecision.toBfloat16(number));
        default -> bytes.putFloat(number);
      }
    }
    return bytes.flip();
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
