package dev.kvshare.apply.model.storage;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.DataType.HalfPrecision;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.storage.StoredTensor.RowOrder;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class RowReaderTest {
  private static final int ROWS = 600;
  private static final int COLUMNS = 320;

  @TempDir Path folder;

  @ParameterizedTest
  @EnumSource(names = {"F32", "F16", "BF16"})
  void decodesLargeTensorsInParallel(DataType target) throws IOException {
    try (MappedCheckpoint checkpoint = checkpoint(new RowOrder.AsIs(), 0)) {
      ByteBuffer dst = direct(ROWS * COLUMNS * target.blockBytes());
      checkpoint.read("t", target, dst);
      assertEquals(0, dst.remaining());
      for (int row = 0; row < ROWS; row++) {
        for (int column = 0; column < COLUMNS; column++) {
          assertEquals(value(row, column), value(dst, target, row * COLUMNS + column));
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"0, 600", "3, 1", "590, 10", "0, 0"})
  void interleavedHeadsComeInTheOrderOfTheModel(int firstRow, int rows) throws IOException {
    RowOrder.InterleavedHeads order = new RowOrder.InterleavedHeads(20);
    try (MappedCheckpoint checkpoint = checkpoint(order, 0)) {
      ByteBuffer dst = direct(rows * COLUMNS * Float.BYTES);
      checkpoint.readRows("t", DataType.F32, firstRow, rows, dst);
      for (int row = 0; row < rows; row++) {
        int within = (firstRow + row) % 20;
        int stored = firstRow + row - within + within % 10 * 2 + within / 10;
        assertEquals(value(stored, 7), value(dst, DataType.F32, row * COLUMNS + 7));
      }
    }
  }

  @Test
  void transposedTensorsAndShiftsAreUndone() throws IOException {
    try (MappedCheckpoint checkpoint = checkpoint(new RowOrder.Transposed(), -1)) {
      ByteBuffer dst = direct(3 * ROWS * Float.BYTES);
      checkpoint.readRows("t", DataType.F32, 5, 3, dst);
      for (int i = 0; i < 3 * ROWS; i++) {
        assertEquals(value(i % ROWS, 5 + i / ROWS) - 1, value(dst, DataType.F32, i));
      }
      assertNull(checkpoint.mapped("t", DataType.F32));
    }
  }

  /** A sparse file: takes no room on the disk. */
  @Test
  void tensorsAbove2GiBAreReadInParts() throws IOException {
    long rows = 700_000_000;
    Path path = folder.resolve("large");
    try (FileChannel channel =
        FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      channel.write(floats(new float[] {5}), (rows - 1) * Float.BYTES);
    }
    TensorInfo info = new TensorInfo("t", DataType.F32, List.of(rows, 1L), rows * Float.BYTES);
    try (MappedCheckpoint checkpoint = checkpoint(path, info, new RowOrder.AsIs(), 0)) {
      ByteBuffer dst = direct(4 * Float.BYTES);
      checkpoint.readRows("t", DataType.F32, rows - 4, 4, dst);
      assertEquals(5, dst.getFloat(12));
      assertNull(checkpoint.mapped("t", DataType.F32));
      assertThrows(
          IllegalArgumentException.class, () -> checkpoint.read("t", DataType.F32, direct(4)));
    }
  }

  @Test
  void integersAreNotDecodedAsWeights() throws IOException {
    Path path = Files.write(folder.resolve("integers"), new byte[16]);
    TensorInfo info = new TensorInfo("t", DataType.I64, List.of(2L), 16);
    try (MappedCheckpoint checkpoint = checkpoint(path, info, new RowOrder.AsIs(), 0)) {
      CheckpointException.Unsupported thrown =
          assertThrows(
              CheckpointException.Unsupported.class,
              () -> checkpoint.read("t", DataType.F32, direct(8)));
      assertEquals(true, thrown.getMessage().contains("stored as I64"), thrown.getMessage());
    }
  }

  @Test
  void storedBytesAreCopiedAsTheyAre() throws IOException {
    try (MappedCheckpoint checkpoint = checkpoint(new RowOrder.InterleavedHeads(20), -1)) {
      ByteBuffer bytes = ByteBuffer.allocate(8);
      checkpoint.readStored("t", COLUMNS * Float.BYTES, bytes);
      ByteBuffer expected = floats(new float[] {value(1, 0), value(1, 1)});
      assertEquals(expected, bytes.flip());
    }
  }

  private static float value(int row, int column) {
    // Exact in all types.
    return (row % 16) * 8 + column % 8;
  }

  private static float value(ByteBuffer bytes, DataType type, int element) {
    return switch (type) {
      case F32 -> bytes.getFloat(element * Float.BYTES);
      case F16 -> HalfPrecision.fromFloat16(bytes.getShort(element * Short.BYTES));
      default -> HalfPrecision.fromBfloat16(bytes.getShort(element * Short.BYTES));
    };
  }

  private static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static ByteBuffer floats(float[] values) {
    ByteBuffer bytes =
        ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(values);
    return bytes;
  }

  /** A tensor of {@value #ROWS} x {@value #COLUMNS} float32 values as stored. */
  private MappedCheckpoint checkpoint(RowOrder order, float shift) throws IOException {
    float[] values = new float[ROWS * COLUMNS];
    for (int i = 0; i < values.length; i++) {
      values[i] = value(i / COLUMNS, i % COLUMNS);
    }
    Path path = Files.write(folder.resolve("weights"), floats(values).array());
    boolean transposed = order instanceof RowOrder.Transposed;
    List<Long> shape =
        transposed ? List.of((long) COLUMNS, (long) ROWS) : List.of((long) ROWS, (long) COLUMNS);
    TensorInfo info = new TensorInfo("t", DataType.F32, shape, values.length * 4L);
    return checkpoint(path, info, order, shift);
  }

  private static MappedCheckpoint checkpoint(
      Path path, TensorInfo info, RowOrder order, float shift) {
    StoredTensor tensor =
        new StoredTensor(
            info,
            ModelFile.open(path),
            0,
            StoredTensor.plainDecoder(info.dataType()),
            order,
            shift);
    ModelConfig config = new ModelConfig(path, JsonNodeFactory.instance.objectNode());
    return new MappedCheckpoint(path, config, new TokenizerSource.None(path), List.of(tensor));
  }
}
