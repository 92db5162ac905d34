package dev.kvshare.apply.model.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.checkpoint.Fingerprint;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafetensorsDirectoryTest {
  private static final float[] A = {1, -2, 3.5f, 0};
  private static final float[] B = {0.1f, 65504, 1e-7f};

  @TempDir Path folder;

  @Test
  void readsConfigurationAndTensors() throws IOException {
    Path model = single("model");
    Files.writeString(model.resolve("tokenizer.json"), "{}");
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      assertEquals("llama", checkpoint.config().modelType());
      assertEquals(List.of("a", "b"), List.copyOf(checkpoint.tensors().keySet()));
      assertEquals(List.of(4L), checkpoint.info("a").shape());
      assertArrayEquals(A, read(checkpoint, "a"));
      assertInstanceOf(TokenizerSource.TokenizerFile.class, checkpoint.tokenizerSource());
    }
  }

  @Test
  void readsPartOfTheRows() throws IOException {
    try (Checkpoint checkpoint = Checkpoints.open(single("model"))) {
      ByteBuffer dst = direct(8);
      checkpoint.readRows("a", DataType.F32, 1, 2, dst);
      assertEquals(8, dst.position());
      assertEquals(-2, dst.getFloat(0));
      assertEquals(3.5f, dst.getFloat(4));
    }
  }

  @Test
  void mapsATensorOfTheWantedTypeWithoutACopy() throws IOException {
    try (Checkpoint checkpoint = Checkpoints.open(single("model"))) {
      ByteBuffer mapped = checkpoint.mapped("b", DataType.F32);
      assertTrue(mapped.isDirect() && mapped.isReadOnly());
      assertEquals(0.1f, mapped.getFloat(0));
      assertNull(checkpoint.mapped("b", DataType.BF16));
    }
  }

  @Test
  void convertsToHalfPrecision() throws IOException {
    try (Checkpoint checkpoint = Checkpoints.open(single("model"))) {
      ByteBuffer half = direct(6);
      checkpoint.read("b", DataType.F16, half);
      assertEquals(0x2e66, half.getShort(0));
      assertEquals(0x7bff, half.getShort(2));
      assertEquals(0x0002, half.getShort(4));
      ByteBuffer brain = direct(6);
      checkpoint.read("b", DataType.BF16, brain);
      assertEquals(0x3dcd, brain.getShort(0));
      assertEquals(0x4780, brain.getShort(2));
    }
  }

  @Test
  void readsShards() throws IOException {
    Path model = shards(folder.resolve("sharded"));
    try (Checkpoint checkpoint = Checkpoints.open(model)) {
      assertArrayEquals(A, read(checkpoint, "a"));
      assertArrayEquals(B, read(checkpoint, "b"));
    }
  }

  @Test
  void fingerprintIsThatOfTheContent() throws IOException {
    try (Checkpoint one = Checkpoints.open(single("one"));
        Checkpoint sharded = Checkpoints.open(shards(folder.resolve("two")))) {
      assertTrue(Fingerprint.of(one).matches("sha256:[0-9a-f]{64}"));
      assertEquals(Fingerprint.of(one), Fingerprint.of(sharded));
    }
  }

  @Test
  void opensASnapshotOfTheHuggingFaceCache() throws IOException {
    Path repository = folder.resolve("models--org--name");
    Path snapshot = repository.resolve("snapshots").resolve("0123abcd");
    Path blobs = Files.createDirectories(repository.resolve("blobs"));
    Files.createDirectories(snapshot);
    Files.writeString(blobs.resolve("c"), SafetensorsFixture.CONFIG);
    Files.write(blobs.resolve("w"), SafetensorsFixture.vectors(List.of("a"), A));
    Files.createSymbolicLink(snapshot.resolve("config.json"), Path.of("../../blobs/c"));
    Files.createSymbolicLink(snapshot.resolve("model.safetensors"), Path.of("../../blobs/w"));
    try (Checkpoint checkpoint = Checkpoints.open(snapshot)) {
      assertArrayEquals(A, read(checkpoint, "a"));
    }
  }

  private Path single(String name) throws IOException {
    return SafetensorsFixture.directory(
        folder.resolve(name), SafetensorsFixture.vectors(List.of("a", "b"), A, B));
  }

  private static Path shards(Path model) throws IOException {
    SafetensorsFixture.sharded(model, "{\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}");
    Files.write(model.resolve("one.safetensors"), SafetensorsFixture.vectors(List.of("a"), A));
    Files.write(model.resolve("two.safetensors"), SafetensorsFixture.vectors(List.of("b"), B));
    return model;
  }

  private static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static float[] read(Checkpoint checkpoint, String tensor) {
    int elements = (int) checkpoint.info(tensor).elements();
    ByteBuffer dst = direct(elements * Float.BYTES);
    checkpoint.read(tensor, DataType.F32, dst);
    float[] values = new float[elements];
    dst.flip().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
    return values;
  }
}
