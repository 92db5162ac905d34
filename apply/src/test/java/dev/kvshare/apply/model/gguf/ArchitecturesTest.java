package dev.kvshare.apply.model.gguf;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.net.URISyntaxException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Each architecture read from GGUF is the model that was converted. */
class ArchitecturesTest {
  private static final String GOLDENS = "/dev/kvshare/apply/model/gguf/architectures";

  @ParameterizedTest
  @ValueSource(
      strings = {
        "llama",
        "llama3",
        "llama_linear",
        "llama_yarn",
        "granite",
        "qwen2",
        "qwen3",
        "olmo2",
        "starcoder2",
        "stablelm",
        "stablelm_parallel",
        "phi3",
        "gpt2",
        "gemma2",
        "gemma3"
      })
  void hasTheTensorsOfTheModel(String name) throws URISyntaxException {
    try (Checkpoint gguf = open(name + ".gguf");
        Checkpoint model = open(name)) {
      assertEquals(model.tensors().keySet(), gguf.tensors().keySet());
      // Adding 1 to a norm's weight and taking it off again rounds.
      float tolerance = name.startsWith("gemma") ? 3e-7f : 0;
      for (TensorInfo tensor : model.tensors().values()) {
        assertEquals(tensor.shape(), gguf.info(tensor.name()).shape(), tensor.name());
        ByteBuffer expected = read(model, tensor.name());
        ByteBuffer found = read(gguf, tensor.name());
        for (int at = 0; at < expected.capacity(); at += Float.BYTES) {
          assertEquals(expected.getFloat(at), found.getFloat(at), tolerance, tensor.name());
        }
      }
    }
  }

  /** Llama 3's rotary embedding comes in another form, see below. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "llama",
        "llama_linear",
        "llama_yarn",
        "granite",
        "qwen2",
        "qwen3",
        "olmo2",
        "starcoder2",
        "stablelm",
        "stablelm_parallel",
        "phi3",
        "gpt2",
        "gemma2",
        "gemma3"
      })
  void computesTheSame(String name) throws URISyntaxException {
    try (Checkpoint gguf = open(name + ".gguf");
        Checkpoint model = open(name)) {
      assertEquals(ModelFamilies.spec(model).toString(), ModelFamilies.spec(gguf).toString());
    }
  }

  /** The divisors of the frequencies follow from the parameters of the configuration. */
  @Test
  void keepsTheRotaryFrequenciesOfLlama3() throws URISyntaxException {
    try (Checkpoint gguf = open("llama3.gguf");
        Checkpoint model = open("llama3")) {
      ModelFamilies.spec(gguf);
      ModelConfig expected = model.config().child("rope_parameters");
      ModelConfig found = gguf.config().child("rope_scaling");
      List<Double> divisors = found.numbers("short_factor");
      assertEquals(2, divisors.size());
      assertEquals(divisors, found.numbers("long_factor"));
      assertEquals(1, found.number("attention_factor"));
      for (int pair = 0; pair < divisors.size(); pair++) {
        double wave = 2 * Math.PI * Math.pow(expected.number("rope_theta"), pair / 2.0);
        double low = expected.number("low_freq_factor");
        double smooth =
            (expected.number("original_max_position_embeddings") / wave - low)
                / (expected.number("high_freq_factor") - low);
        smooth = Math.min(1, Math.max(0, smooth));
        double divisor = 1 / ((1 - smooth) / expected.number("factor") + smooth);
        assertEquals(divisor, divisors.get(pair), 1e-6);
      }
    }
  }

  private static Checkpoint open(String name) throws URISyntaxException {
    Path goldens = Path.of(ArchitecturesTest.class.getResource(GOLDENS).toURI());
    return Checkpoints.open(goldens.resolve(name));
  }

  private static ByteBuffer read(Checkpoint checkpoint, String tensor) {
    int bytes = (int) checkpoint.info(tensor).elements() * Float.BYTES;
    ByteBuffer dst = ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
    checkpoint.read(tensor, DataType.F32, dst);
    return dst;
  }
}
