package dev.kvshare.apply.family;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A configuration in the older spelling describes the same model as in the newer one. */
class OldConfigTest {
  @TempDir private Path scratch;

  static List<Path> architectures() {
    return Goldens.architectures();
  }

  @ParameterizedTest
  @MethodSource("architectures")
  void olderSpellingDescribesTheSameModel(Path directory) {
    Path older = Goldens.copy(directory, scratch.resolve("older"), OldConfigTest::toOlderSpelling);

    assertEquals(spec(directory), spec(older));
  }

  private static ModelSpec spec(Path directory) {
    try (Checkpoint checkpoint = Checkpoints.open(directory)) {
      return ModelFamilies.spec(checkpoint);
    }
  }

  private static void toOlderSpelling(ObjectNode config) {
    ObjectNode rope = (ObjectNode) config.remove("rope_parameters");
    config.remove("_sliding_window_pattern");
    if (config.has("dtype")) {
      config.set("torch_dtype", config.remove("dtype"));
    }
    if (rope == null) {
      return;
    }
    switch (config.get("model_type").textValue()) {
      case "gemma3_text" -> {
        config.set("rope_theta", rope.get("full_attention").get("rope_theta"));
        config.set("rope_local_base_freq", rope.get("sliding_attention").get("rope_theta"));
        config.remove("layer_types");
        config.put("sliding_window_pattern", 6);
      }
      case "gpt_neox" -> {
        config.set("rotary_emb_base", rope.get("rope_theta"));
        config.set("rotary_pct", rope.get("partial_rotary_factor"));
      }
      default -> toScaling(config, rope);
    }
    assertFalse(config.has("rope_parameters"));
  }

  private static void toScaling(ObjectNode config, ObjectNode rope) {
    config.set("rope_theta", rope.remove("rope_theta"));
    JsonNode partial = rope.remove("partial_rotary_factor");
    if (partial != null) {
      config.set("partial_rotary_factor", partial);
    }
    JsonNode type = rope.remove("rope_type");
    if (type.textValue().equals("default")) {
      config.putNull("rope_scaling");
    } else {
      rope.set("type", type);
      config.set("rope_scaling", rope);
    }
    config.remove("layer_types");
  }
}
