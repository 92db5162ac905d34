package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.DataType.HalfPrecision;
import dev.kvshare.apply.model.storage.ModelFile.MappedRange;
import dev.kvshare.apply.model.storage.StoredTensor.RowOrder;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.concurrent.ForkJoinPool;
import java.util.stream.IntStream;

/**
 * Decodes rows of one tensor into a buffer. The file is mapped range by range, and each range is
 * split into parts that the common pool decodes through small arrays, so that neither the 2 GiB of
 * a buffer nor the heap limits the size of a tensor.
 */
final class RowReader {
  private static final long MAPPED_BYTES = 1L << 30;
  private static final int CHUNK_ELEMENTS = 8192;
  private static final long SERIAL_ELEMENTS = 1L << 16;

  private final StoredTensor tensor;
  private final TensorInfo info;
  private final DataType target;
  private final long rowElements;

  RowReader(StoredTensor tensor, DataType target) {
    this.tensor = tensor;
    this.info = tensor.info();
    this.target = target;
    this.rowElements = info.rows() == 0 ? 0 : info.elements() / info.rows();
  }

  void read(long firstRow, long rows, ByteBuffer dst) {
    if (firstRow < 0 || rows < 0 || rows > info.rows() - firstRow) {
      throw new IllegalArgumentException(
          info.name() + ": rows " + firstRow + " + " + rows + " of " + info.rows());
    }
    long bytes = target.bytes(Math.multiplyExact(rows, rowElements));
    if (bytes > dst.remaining()) {
      throw new IllegalArgumentException(
          info.name() + ": " + bytes + " bytes do not fit into " + dst.remaining());
    }
    ByteBuffer out = dst.slice(dst.position(), (int) bytes).order(ByteOrder.LITTLE_ENDIAN);
    if (bytes > 0) {
      if (tensor.order() instanceof RowOrder.Transposed) {
        readTransposed(firstRow, rows, out);
      } else {
        readUnits(units(), firstRow, rows, out);
      }
    }
    dst.position(dst.position() + (int) bytes);
  }

  /**
   * How stored rows are cut into units that are contiguous in the file and in the result.
   *
   * @param elements elements of a unit, whole blocks
   * @param chunk units that are handled at once because they follow each other
   * @param period units of a group within which the order may differ
   */
  private record Units(int elements, int chunk, int period) {}

  private Units units() {
    if (tensor.order() instanceof RowOrder.InterleavedHeads heads) {
      return new Units(Math.toIntExact(rowElements), 1, heads.headSize());
    }
    int block = info.dataType().blockSize();
    return new Units(block, CHUNK_ELEMENTS / block, 1);
  }

  private void readUnits(Units units, long firstRow, long rows, ByteBuffer out) {
    long first = firstRow * rowElements / units.elements();
    long end = first + rows * rowElements / units.elements();
    long unitBytes = info.dataType().bytes(units.elements());
    long mappedUnits = Math.max(1, MAPPED_BYTES / unitBytes / units.period()) * units.period();
    for (long start = first; start < end; ) {
      long base = start / units.period() * units.period();
      long stop = Math.min(end, base + mappedUnits);
      long groups = (stop - base + units.period() - 1) / units.period();
      int outOffset = (int) ((start - first) * units.elements());
      try (MappedRange mapped =
          map(tensor.offset() + base * unitBytes, groups * units.period() * unitBytes)) {
        readMapped(units, new UnitRange(mapped.bytes(), base, start, stop), out, outOffset);
      }
      start = stop;
    }
  }

  /**
   * A mapped range of units, from {@code base}, of which {@code start} to {@code stop} are wanted.
   */
  private record UnitRange(ByteBuffer bytes, long base, long start, long stop) {}

  private void readMapped(Units units, UnitRange range, ByteBuffer out, int outOffset) {
    int chunks = (int) ((range.stop() - range.start() + units.chunk() - 1) / units.chunk());
    parallel(
        chunks,
        (range.stop() - range.start()) * units.elements(),
        (from, to) -> {
          Sink sink = new Sink(tensor, target, out, units.elements() * units.chunk());
          for (int chunk = from; chunk < to; chunk++) {
            long unit = range.start() + (long) chunk * units.chunk();
            int count = (int) Math.min(units.chunk(), range.stop() - unit);
            long position = (stored(unit) - range.base()) * units.elements();
            int source = (int) info.dataType().bytes(position);
            int element = outOffset + (int) (unit - range.start()) * units.elements();
            sink.accept(range.bytes(), source, count * units.elements(), element);
          }
        });
  }

  private long stored(long unit) {
    return tensor.order() instanceof RowOrder.InterleavedHeads heads ? heads.stored(unit) : unit;
  }

  /** Stored rows are the model's columns: each is decoded and spread over the rows asked for. */
  private void readTransposed(long firstRow, long rows, ByteBuffer out) {
    int storedRows = Math.toIntExact(rowElements);
    int storedRowElements = Math.toIntExact(info.rows());
    int storedRowBytes = (int) info.dataType().bytes(storedRowElements);
    parallel(
        storedRows,
        rows * rowElements,
        (from, to) -> {
          Sink sink = new Sink(tensor, target, out, storedRowElements);
          long offset = tensor.offset() + (long) from * storedRowBytes;
          long bytes = (long) (to - from) * storedRowBytes;
          try (MappedRange part = map(offset, bytes)) {
            for (int row = from; row < to; row++) {
              int at = (row - from) * storedRowBytes;
              float[] values = sink.decode(part.bytes(), at, storedRowElements);
              for (int i = 0; i < rows; i++) {
                sink.put(i * storedRows + row, values[(int) firstRow + i]);
              }
            }
          }
        });
  }

  private MappedRange map(long offset, long bytes) {
    return new MappedRange(tensor.file().map(offset, bytes));
  }

  @FunctionalInterface
  private interface Part {
    void run(int from, int to);
  }

  private static void parallel(int count, long elements, Part part) {
    int parts =
        elements <= SERIAL_ELEMENTS
            ? 1
            : Math.min(count, 4 * ForkJoinPool.getCommonPoolParallelism() + 4);
    IntStream.range(0, parts)
        .parallel()
        .forEach(
            i ->
                part.run((int) ((long) count * i / parts), (int) ((long) count * (i + 1) / parts)));
  }

  /**
   * Writes decoded elements into a part of the result. Used by one thread; several sinks write
   * disjoint parts of one result.
   */
  private static final class Sink {
    private final StoredTensor tensor;
    private final DataType target;
    private final ByteBuffer out;
    private final FloatBuffer floats;
    private final ShortBuffer shorts;
    private final byte[] blocks;
    private final float[] values;
    private final short[] halves;

    /** Writes to {@code out}, little-endian, at most {@code capacity} elements at once. */
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
}
