package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.model.ModelConfig;
import dev.kvshare.model.family.ModelFamilies;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.model.storage.JsonFiles;
import dev.kvshare.runtime.MachineSpeed;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CostModelTest {
  private static final String LLAMA_2_7B =
      """
      {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
       "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
       "num_key_value_heads": 32, "vocab_size": 32000, "rms_norm_eps": 1e-5,
       "max_position_embeddings": 4096, "hidden_act": "silu", "tie_word_embeddings": false}
      """;

  @TempDir private Path folder;

  @Test
  void aConfigurationAloneIsEnough() throws IOException {
    ModelSpec spec = llama();
    CostModel costs = new CostModel(spec, 4, new MachineSpeed(200e9, 20e9));
    assertEquals(6_738_415_616L * 4, costs.weightBytes());

    CostModel.Cost cost = costs.search(30, 64, 8);
    assertEquals(32L * 30 + 8 * 30 * 16, cost.evaluations());
    // 2 operations a token and weight: 202 million weights a layer, 64 tokens, 200 GFLOP/s.
    double computing = 4800.0 * 2 * 64 * 202.4e6 / 200e9;
    assertTrue(cost.seconds() > computing && cost.seconds() < 1.6 * computing, cost.toString());
  }

  @Test
  void slowMemoryIsTheLimitWhereItIs() throws IOException {
    CostModel fast = new CostModel(llama(), 4, new MachineSpeed(200e9, 20e9));
    CostModel slow = new CostModel(llama(), 4, new MachineSpeed(200e9, 0.2e9));
    assertTrue(slow.search(30, 64, 8).seconds() > 3 * fast.search(30, 64, 8).seconds());
  }

  @Test
  void statesStayWithinTheirLimit() throws IOException {
    CostModel costs = new CostModel(llama(), 4, new MachineSpeed(200e9, 20e9));
    long keysAndValues = 2L * 1920 * 2 * 4096 * 4 * 32;
    assertEquals(1_000_000 + keysAndValues, costs.stateBytes(30, 64, 1_000_000));
  }

  private ModelSpec llama() throws IOException {
    Path file = Files.writeString(folder.resolve("config.json"), LLAMA_2_7B);
    return ModelFamilies.spec(new ModelConfig(file, JsonFiles.readObject(file)));
  }
}
