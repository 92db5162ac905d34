package dev.kvshare.apply.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
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
import dev.kvshare.apply.model.storage.Digest;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Policy.RepairReference;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.RefittedWeights;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The refitted weights beside a policy: what is written is read, and damage is named. */
class RefittedWeightsTest {
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

    RefittedWeights weights = RefittedWeights.of(Map.of(WEIGHT, weight, BIAS, bias));
    RepairReference reference = write(weights);

    assertEquals(FILE, reference.file());
    assertEquals(List.of(BIAS, WEIGHT), reference.tensors());
    assertEquals(weights.sha256(), reference.sha256());
    assertEquals(2 * weight.size() + 4 * bias.size(), weights.bytes());
    Map<String, NDArray> read = read(file, reference);
    assertArrayEquals(bias.toFloatArray(), read.get(BIAS).toFloatArray());
    float largest = weight.abs().max().getFloat();
    float difference = read.get(WEIGHT).sub(weight).abs().max().getFloat();
    assertTrue(difference > 0 && difference < largest / 1000, difference + " of " + largest);
    byte[] bytes = Files.readAllBytes(file);
    write(RefittedWeights.of(Map.of(BIAS, bias, WEIGHT, weight)));
    assertArrayEquals(bytes, Files.readAllBytes(file));
  }

  /** A repair is judged by what the file will hold, not by what was fitted. */
  @Test
  void theValuesAreThoseOfTheFileBeforeItIsWritten() {
    RefittedWeights weights = RefittedWeights.of(Map.of(WEIGHT, hidden().mul(0.001f)));
    Map<String, NDArray> before = weights.tensors(manager);

    Map<String, NDArray> read = read(folder.resolve(FILE), write(weights));
    assertArrayEquals(read.get(WEIGHT).toFloatArray(), before.get(WEIGHT).toFloatArray());
    assertEquals(read.get(WEIGHT).getShape(), before.get(WEIGHT).getShape());
  }

  /** A transposed view is written in the order of its shape. */
  @Test
  void viewsAreWrittenAsTheyAreSeen() {
    NDArray weight = hidden().mul(0.001f);
    RepairReference reference = write(RefittedWeights.of(Map.of(WEIGHT, weight.transpose())));

    NDArray read = read(folder.resolve(FILE), reference).get(WEIGHT);

    assertEquals(0, read.sub(weight.transpose()).abs().max().getFloat(), 0.01);
  }

  @Test
  void largeNumbersAreKeptInFloat32() {
    NDArray weight = hidden().add(70_000f);
    Path file = folder.resolve(FILE);
    RepairReference reference = write(RefittedWeights.of(Map.of(WEIGHT, weight)));

    assertArrayEquals(weight.toFloatArray(), read(file, reference).get(WEIGHT).toFloatArray());
    try (SafetensorsFile opened = SafetensorsFile.open(file)) {
      assertEquals(DataType.F32, opened.tensors().get(WEIGHT).info().dataType());
    }
  }

  @Test
  void anotherFileIsRefused() throws IOException {
    Path file = folder.resolve(FILE);
    RepairReference reference = write(RefittedWeights.of(Map.of(BIAS, bias())));
    byte[] bytes = Files.readAllBytes(file);
    bytes[bytes.length - 1] ^= 1;
    Files.write(file, bytes);

    refused(PolicyException.Mismatch.class, file, reference, "SHA-256", "--no-repair");
  }

  @Test
  void damagedFilesAreRefused() throws IOException {
    Path file = folder.resolve(FILE);
    Files.writeString(file, "no weights");
    refused(PolicyException.Format.class, file, reference(file, BIAS), file.toString());
    write(file, "other.weight", DataType.F32, List.of(1L), 4);
    refused(PolicyException.Format.class, file, reference(file, BIAS), BIAS, "other.weight");
    refused(PolicyException.Format.class, file, reference(file, "other.weight"), "may replace");
    write(file, BIAS, DataType.F32, List.of(3L), 12);
    refused(PolicyException.Format.class, file, reference(file, BIAS), "[3]", "expected [64]");
    write(file, BIAS, DataType.I32, List.of(64L), 256);
    refused(PolicyException.Format.class, file, reference(file, BIAS), "I32");
    write(RefittedWeights.of(Map.of(BIAS, bias().add(Float.NaN))));
    refused(PolicyException.Format.class, file, reference(file, BIAS), "NaN", "element 0");
  }

  @Test
  void aModelRunsWithTheWeightsWithoutThemAndWithoutTheFile() throws IOException {
    write(RefittedWeights.of(Map.of(BIAS, bias().add(100f))));
    Path file = folder.resolve(FILE);
    Path policy = folder.resolve("policy.json");

    float[] repaired = logits(policy, true);
    float[] plain = logits(policy, false);
    assertTrue(Math.abs(repaired[0] - plain[0]) > 1e-3);
    assertArrayEquals(logits(null, true), plain);
    Files.delete(file);
    assertArrayEquals(plain, logits(policy, true));
  }

  @Test
  void weightsOfAnEditedPlanAreRefusedUnlessLeftOut() throws IOException {
    write(RefittedWeights.of(Map.of(BIAS, bias().add(100f))));
    Path policy = folder.resolve("policy.json");
    String text = Files.readString(policy);
    Files.writeString(
        policy, text.replace("\"window\": null", "\"window\": {\"layers\": [1], \"last\": 64}"));

    PolicyException.Mismatch edited =
        assertThrows(PolicyException.Mismatch.class, () -> logits(policy, true));
    assertTrue(edited.getMessage().contains("repair.plan_sha256"), edited.getMessage());
    assertTrue(edited.getMessage().contains("--no-repair"), edited.getMessage());
    assertArrayEquals(logits(null, true), logits(policy, false), 1e-6f);
    // Notes beside the plan do not matter.
    Files.writeString(policy, text.replace("\"tool\": ", "\"note\": 1, \"tool\": "));
    assertTrue(Math.abs(logits(policy, true)[0] - logits(policy, false)[0]) > 1e-3);
  }

  /** What a crash leaves between the steps of a write is imitated file by file. */
  @Test
  void aCrashWhileWritingLeavesAUsablePair() throws IOException {
    Path policy = folder.resolve("policy.json");
    Path weights = folder.resolve(FILE);
    Path fresh = folder.resolve(FILE + ".new");
    write(RefittedWeights.of(Map.of(BIAS, bias().add(1f))));
    byte[] oldPolicy = Files.readAllBytes(policy);
    byte[] oldWeights = Files.readAllBytes(weights);
    float[] old = logits(policy, true);
    write(RefittedWeights.of(Map.of(BIAS, bias().add(100f))));
    byte[] newPolicy = Files.readAllBytes(policy);
    byte[] newWeights = Files.readAllBytes(weights);
    float[] renewed = logits(policy, true);
    assertTrue(Math.abs(renewed[0] - old[0]) > 1e-3);
    assertFalse(Files.exists(fresh));

    Files.write(weights, oldWeights);
    Files.write(fresh, newWeights);
    Files.write(policy, oldPolicy);
    assertArrayEquals(old, logits(policy, true), "behind the first step");
    Files.write(policy, newPolicy);
    assertArrayEquals(renewed, logits(policy, true), "behind the second step");

    // The next write ends the one before, so that its own crash leaves that policy usable too.
    Path blocked = Files.createDirectory(folder.resolve("blocked"));
    Files.copy(policy, blocked.resolve("policy.json"));
    Files.copy(weights, blocked.resolve(FILE));
    Files.copy(fresh, blocked.resolve(FILE + ".new"));
    RefittedWeights third = RefittedWeights.of(Map.of(BIAS, bias().add(7f)));
    PolicyFile.write(PolicyFile.read(policy), third, blocked.resolve("policy.json"));
    byte[] thirdWeights = Files.readAllBytes(blocked.resolve(FILE));
    Files.write(blocked.resolve(FILE), newWeights);
    Files.write(blocked.resolve(FILE + ".new"), thirdWeights);
    Files.write(blocked.resolve("policy.json"), newPolicy);
    assertArrayEquals(renewed, logits(blocked.resolve("policy.json"), true));
  }

  private static float[] logits(Path policy, boolean repair) {
    try (PolicyModel loaded =
            PolicyModel.load(
                new PolicyModel.Options(
                    TinyLlama.DIRECTORY, policy, DecoderOptions.DEFAULT, false, repair, null));
        NDManager scratch = loaded.decoder().newManager();
        var cache = loaded.decoder().newCache(loaded.cacheOptions(), 1, 4)) {
      NDArray ids = scratch.create(new long[] {5, 6, 7}, new Shape(1, 3));
      return loaded.decoder().forward(ids, cache).toFloatArray();
    }
  }

  private RepairReference write(RefittedWeights weights) {
    Policy policy = Policy.of(ModelIdentity.ofLayers(spec.layers()), Plan.identity(spec.layers()));
    return PolicyFile.write(
            policy.withTool(new Policy.ToolVersion("test", "1")),
            weights,
            folder.resolve("policy.json"))
        .repair();
  }

  private static Map<String, NDArray> read(Path file, RepairReference reference) {
    Policy policy =
        Policy.of(ModelIdentity.ofLayers(spec.layers()), Plan.identity(spec.layers()))
            .withRepair(reference);
    Path found = PolicyFile.weights(policy, file.resolveSibling("policy.json"));
    return RefittedWeights.read(found, reference, spec).tensors(manager);
  }

  private static <T extends PolicyException> void refused(
      Class<T> type, Path file, RepairReference reference, String... fragments) {
    T thrown = assertThrows(type, () -> read(file, reference));
    for (String fragment : fragments) {
      assertTrue(thrown.getMessage().contains(fragment), thrown.getMessage());
    }
  }

  private static RepairReference reference(Path file, String tensor) {
    return new RepairReference(FILE, Digest.sha256(file), null, List.of(tensor));
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
