package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.DataType;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;

/**
 * Writes decoded elements into a part of the result. Used by one thread; several sinks write
 * disjoint parts of one result.
 */
final class Sink {
  private final StoredTensor tensor;
  private final DataType target;
  private final ByteBuffer out;
  private final FloatBuffer floats;
  private final ShortBuffer shorts;
  private final byte[] blocks;
  private final float[] values;
  private final short[] halves;

  /**
   * Prepares buffers.
   *
   * @param out the result, little-endian
   * @param capacity most elements handled at once
   */
  Sink(StoredTensor tensor, DataType target, ByteBuffer out, int capacity) {
    this.tensor = tensor;
    this.target = target;
    this.out = out;
    boolean wide = target == DataType.F32;
    floats = wide ? out.asFloatBuffer() : null;
    shorts = wide ? null : out.asShortBuffer();
    blocks = new byte[(int) tensor.info().dataType().bytes(capacity)];
    values = new float[capacity];
    halves = new short[wide ? 0 : capacity];
  }

  /** Copies or decodes elements from a byte of the source to an element of the result. */
  void accept(ByteBuffer source, int sourceByte, int elements, int element) {
    DataType type = tensor.info().dataType();
    if (type == target && tensor.shift() == 0) {
      int size = type.blockBytes();
      out.put(element * size, source, sourceByte, elements * size);
      return;
    }
    float[] decoded = decode(source, sourceByte, elements);
    if (floats != null) {
      floats.put(element, decoded, 0, elements);
      return;
    }
    for (int i = 0; i < elements; i++) {
      halves[i] = half(decoded[i]);
    }
    shorts.put(element, halves, 0, elements);
  }

  /** Decodes elements, which stay valid until the next call. */
  float[] decode(ByteBuffer source, int sourceByte, int elements) {
    DataType type = tensor.info().dataType();
    source.get(sourceByte, blocks, 0, (int) type.bytes(elements));
    tensor.decoder().decode(blocks, elements / type.blockSize(), values);
    float shift = tensor.shift();
    if (shift != 0) {
      for (int i = 0; i < elements; i++) {
        values[i] += shift;
      }
    }
    return values;
  }

  /** Writes one element of the result. */
  void put(int element, float value) {
    if (floats != null) {
      floats.put(element, value);
    } else {
      shorts.put(element, half(value));
    }
  }

  private short half(float value) {
    return target == DataType.F16
        ? HalfPrecision.toFloat16(value)
        : HalfPrecision.toBfloat16(value);
  }
}
