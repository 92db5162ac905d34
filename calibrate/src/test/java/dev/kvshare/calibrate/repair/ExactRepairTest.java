package dev.kvshare.calibrate.repair;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.repair.fit.ProjectionFit.FittedPart;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Layers whose sharing can be undone: layer 1 of this model adds nothing to the residual stream, so
 * that layer 2 makes its keys and values of what layer 1 does.
 */
@Tag("numerics")
class ExactRepairTest {
  private static final SharingMap MAP = SharingMap.of(0, 1, 1, 3);
  private static final int HEAD_SIZE = 16;
  private static final int HIDDEN_SIZE = 64;
  private static final String LOWER = "model.layers.1.";
  private static final String UPPER = "model.layers.2.";
  private static final String VALUES = "self_attn.v_proj.weight";

  @TempDir private Path folder;

  @Test
  void equalKeysAndValuesNeedNoRepair() throws IOException {
    try (Decoder decoder = TinyModels.load(twins(tensor -> {}))) {
      RepairPassages passages = TinyModels.passages(decoder, 40, 16);
      RepairOutcome outcome =
          new Repair(decoder, RepairSettings.DEFAULT).repair(Plan.of(MAP), passages, done -> {});
      assertEquals(0, outcome.plain().divergence().mean(), 1e-9);
      assertTrue(
          outcome.fits().stream().noneMatch(FittedPart::replaced), outcome.fits().toString());
      assertEquals(Set.of(), outcome.weights().names());
    }
  }

  /** Values that are turned within each head: an output projection that turns them back exists. */
  @Test
  void aLinearDifferenceOfTheValuesIsRestoredToRounding() throws IOException {
    Path model = twins(ExactRepairTest::turnHeads);
    RepairSettings free =
        new RepairSettings(
            Set.of(Part.ATTENTION),
            RepairSettings.Scope.SHARED,
            false,
            RepairSettings.DEFAULT.queries(),
            List.of(1e-9));
    try (Decoder decoder = TinyModels.load(model)) {
      RepairPassages passages = TinyModels.passages(decoder, 60, 16);
      RepairOutcome outcome = new Repair(decoder, free).repair(Plan.of(MAP), passages, done -> {});
      FittedPart fit = outcome.fits().get(0);
      assertTrue(outcome.plain().divergence().mean() > 1e-2, outcome.plain().toString());
      assertTrue(fit.errorAfter() < 1e-7, fit.toString()); // products are summed in float32
      assertEquals(0, outcome.repaired().divergence().mean(), 1e-6);
      assertEquals(1, outcome.repaired().similarity(), 1e-6);
    }
  }

  private interface Change {
    /** Changes the value projection of layer 2, [Hkv * D, E]. */
    void apply(float[] values);
  }

  /** Reverses and doubles the rows of each head. */
  private static void turnHeads(float[] values) {
    float[] original = values.clone();
    for (int row = 0; row < values.length / HIDDEN_SIZE; row++) {
      int head = row / HEAD_SIZE;
      int turned = (2 * head + 1) * HEAD_SIZE - 1 - row;
      for (int column = 0; column < HIDDEN_SIZE; column++) {
        values[row * HIDDEN_SIZE + column] = 2 * original[turned * HIDDEN_SIZE + column];
      }
    }
  }

  /** A model whose layer 1 is passed over and whose layer 2 has its keys and values. */
  private Path twins(Change change) throws IOException {
    Path source = TinyModels.architecture("llama");
    Map<String, float[]> numbers = new TreeMap<>();
    Map<String, TensorInfo> infos = new TreeMap<>();
    try (SafetensorsFile file = SafetensorsFile.open(source.resolve("model.safetensors"))) {
      file.tensors()
          .forEach(
              (name, stored) -> {
                float[] read = new float[Math.toIntExact(stored.info().elements())];
                file.bytes(name, DataType.F32)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .asFloatBuffer()
                    .get(read);
                numbers.put(name, read);
                infos.put(name, stored.info());
              });
    }
    for (String silent : new String[] {"self_attn.o_proj.weight", "mlp.down_proj.weight"}) {
      numbers.put(LOWER + silent, new float[numbers.get(LOWER + silent).length]);
    }
    for (String equal :
        new String[] {"input_layernorm.weight", "self_attn.k_proj.weight", VALUES}) {
      numbers.put(UPPER + equal, numbers.get(LOWER + equal).clone());
    }
    change.apply(numbers.get(UPPER + VALUES));
    SafetensorsWriter writer = new SafetensorsWriter(Map.of("format", "pt"));
    numbers.forEach(
        (name, values) -> {
          ByteBuffer bytes =
              ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
          bytes.asFloatBuffer().put(values);
          writer.add(name, DataType.F32, infos.get(name).shape(), bytes);
        });
    Files.copy(source.resolve("config.json"), folder.resolve("config.json"));
    try (OutputStream out = Files.newOutputStream(folder.resolve("model.safetensors"))) {
      writer.writeTo(out);
    }
    return folder;
  }
}
