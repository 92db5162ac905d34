package dev.kvshare.apply.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.PolicyFormatException;
import dev.kvshare.apply.policy.PolicyMismatchException;
import dev.kvshare.apply.policy.RepairFile;
import dev.kvshare.apply.policy.RepairReference;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The refitted weights beside a policy: what is written is read, and damage is named. */
class RepairFileTest {
  private static final String WEIGHT = "model.layers.1.self_attn.o_proj.weight";
  private static final String BIAS = "model.layers.1.self_attn.o_proj.bias";
  private static final String FILE = "policy.safetensors";

  private static PolicyModel model;
  private static ModelSpec spec;
  private static NDManager manager;

  @TempDir private Path folder;

  @BeforeAll
  static void load() {
    model = PolicyModel.load(TinyLlama.DIRECTORY, null);
    manager = model.decoder().newManager();
    try (Checkpoint checkpoint = Checkpoints.open(TinyLlama.DIRECTORY)) {
      spec = ModelFamilies.spec(checkpoint);
    }
  }

  @AfterAll
  static void close() {
    manager.close();
    model.close();
  }

  @Test
  void whatIsWrittenIsReadAndEqualTensorsGiveEqualBytes() throws IOException {
    NDArray weight = hidden().mul(0.001f);
    NDArray bias = manager.arange((float) spec.hiddenSize());
    Path file = folder.resolve(FILE);

    RepairReference reference = RepairFile.write(Map.of(WEIGHT, weight, BIAS, bias), file);

    assertEquals(FILE, reference.file());
    assertEquals(List.of(BIAS, WEIGHT), reference.tensors());
    Map<String, NDArray> read = RepairFile.read(file, reference, spec, manager);
    assertArrayEquals(bias.toFloatArray(), read.get(BIAS).toFloatArray());
    float largest = weight.abs().max().getFloat();
    float difference = read.get(WEIGHT).sub(weight).abs().max().getFloat();
    assertTrue(difference > 0 && difference < largest / 1000, difference + " of " + largest);
    byte[] bytes = Files.readAllBytes(file);
    RepairFile.write(Map.of(BIAS, bias, WEIGHT, weight), file);
    assertArrayEquals(bytes, Files.readAllBytes(file));
  }

  /** A transposed view is written in the order of its shape. */
  @Test
  void viewsAreWrittenAsTheyAreSeen() {
    NDArray weight = hidden().mul(0.001f);
    Path file = folder.resolve(FILE);
    RepairReference reference = RepairFile.write(Map.of(WEIGHT, weight.transpose()), file);

    NDArray read = RepairFile.read(file, reference, spec, manager).get(WEIGHT);

    assertEquals(0, read.sub(weight.transpose()).abs().max().getFloat(), 0.01);
  }

  @Test
  void largeNumbersAreKeptInFloat32() {
    NDArray weight = hidden().add(70_000f);
    Path file = folder.resolve(FILE);
    RepairReference reference = RepairFile.write(Map.of(WEIGHT, weight), file);

    NDArray read = RepairFile.read(file, reference, spec, manager).get(WEIGHT);

    assertArrayEquals(weight.toFloatArray(), read.toFloatArray());
    try (SafetensorsFile opened = SafetensorsFile.open(file)) {
      assertEquals(DataType.F32, opened.tensors().get(WEIGHT).info().dataType());
    }
  }

  @Test
  void anotherFileIsRefused() throws IOException {
    Path file = folder.resolve(FILE);
    RepairReference reference = RepairFile.write(Map.of(BIAS, bias()), file);
    byte[] bytes = Files.readAllBytes(file);
    bytes[bytes.length - 1] ^= 1;
    Files.write(file, bytes);

    refused(PolicyMismatchException.class, file, reference, "SHA-256", "--no-repair");
  }

  @Test
  void damagedFilesAreRefused() throws IOException {
    Path file = folder.resolve(FILE);
    Files.writeString(file, "no weights");
    refused(PolicyFormatException.class, file, reference(file, BIAS), file.toString());
    write(file, "other.weight", DataType.F32, List.of(1L), 4);
    refused(PolicyFormatException.class, file, reference(file, BIAS), BIAS, "other.weight");
    refused(PolicyFormatException.class, file, reference(file, "other.weight"), "may replace");
    write(file, BIAS, DataType.F32, List.of(3L), 12);
    refused(PolicyFormatException.class, file, reference(file, BIAS), "[3]", "expected [64]");
    write(file, BIAS, DataType.I32, List.of(64L), 256);
    refused(PolicyFormatException.class, file, reference(file, BIAS), "I32");
    RepairFile.write(Map.of(BIAS, bias().add(Float.NaN)), file);
    refused(PolicyFormatException.class, file, reference(file, BIAS), "NaN", "element 0");
  }

  @Test
  void aModelRunsWithTheWeightsWithoutThemAndWithoutTheFile() throws IOException {
    int layers = spec.layers();
    Path file = folder.resolve(FILE);
    NDArray loud = bias().add(100f);
    RepairReference reference = RepairFile.write(Map.of(BIAS, loud), file);
    Path policy = folder.resolve("policy.json");
    PolicyFile.write(
        Policy.of(ModelIdentity.ofLayers(layers), Plan.identity(layers)).withRepair(reference),
        policy);

    float[] repaired = logits(policy, true);
    float[] plain = logits(policy, false);
    assertTrue(Math.abs(repaired[0] - plain[0]) > 1e-3);
    assertArrayEquals(logits(null, true), plain);
    Files.delete(file);
    assertArrayEquals(plain, logits(policy, true));
  }

  private static float[] logits(Path policy, boolean repair) {
    try (PolicyModel loaded =
            PolicyModel.load(
                new PolicyModelOptions(
                    TinyLlama.DIRECTORY, policy, DecoderOptions.DEFAULT, false, repair));
        NDManager scratch = loaded.decoder().newManager();
        var cache = loaded.decoder().newCache(loaded.cacheOptions(), 1, 4)) {
      NDArray ids = scratch.create(new long[] {5, 6, 7}, new Shape(1, 3));
      return loaded.decoder().forward(ids, cache).toFloatArray();
    }
  }

  private static <T extends PolicyException> void refused(
      Class<T> type, Path file, RepairReference reference, String... fragments) {
    T thrown = assertThrows(type, () -> RepairFile.read(file, reference, spec, manager));
    for (String fragment : fragments) {
      assertTrue(thrown.getMessage().contains(fragment), thrown.getMessage());
    }
  }

  private static RepairReference reference(Path file, String tensor) throws IOException {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file));
      return new RepairReference(FILE, HexFormat.of().formatHex(digest), List.of(tensor));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }

  private static void write(Path file, String name, DataType type, List<Long> shape, int bytes) {
    SafetensorsWriter writer = new SafetensorsWriter(Map.of());
    writer.add(name, type, shape, ByteBuffer.allocate(bytes));
    AtomicFile.write(file, writer::writeTo);
  }

  private static NDArray hidden() {
    long columns = (long) spec.queryHeads() * spec.headSize();
    return manager
        .arange((float) (spec.hiddenSize() * columns))
        .reshape(spec.hiddenSize(), columns);
  }

  private static NDArray bias() {
    return manager.zeros(new Shape(spec.hiddenSize()));
  }
}
