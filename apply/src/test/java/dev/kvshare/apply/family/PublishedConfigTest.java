package dev.kvshare.apply.family;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.plan.Plan;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Configurations with the keys that published models have are understood completely. */
class PublishedConfigTest {

  static List<Arguments> published() throws IOException {
    return configs().properties().stream()
        .map(entry -> Arguments.of(entry.getKey(), entry.getValue()))
        .toList();
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("published")
  void noKeyIsRefused(String name, ObjectNode json) {
    ModelSpec spec = spec(name, json);

    assertEquals(json.path("num_hidden_layers").asInt(json.path("n_layer").asInt()), spec.layers());
    assertTrue(spec.mayShare(spec.layers() - 1, spec.layers() - 1));
  }

  @Test
  void everyFamilyHasAnExample() throws IOException {
    Set<String> types =
        configs().properties().stream()
            .map(entry -> entry.getValue().get("model_type").textValue())
            .collect(Collectors.toSet());
    assertEquals(ModelFamilies.modelTypes(), Set.copyOf(types));
  }

  @Test
  void whatTheFilesSayIsRead() throws IOException {
    JsonNode configs = configs();
    ModelSpec smol =
        spec("SmolLM2-135M-Instruct", (ObjectNode) configs.get("SmolLM2-135M-Instruct"));
    assertTrue(smol.tiedHead());
    assertEquals(64, smol.headSize());
    assertEquals(30 * 2 * 3 * 64 * 4, smol.kvUse(Plan.identity(30)).bytesPerToken(4));

    ModelSpec gemma = spec("gemma-3-1b-it", (ObjectNode) configs.get("gemma-3-1b-it"));
    assertEquals(512, gemma.blocks().get(0).attention().window());
    assertEquals(0, gemma.blocks().get(5).attention().window());
    assertEquals(1e6, gemma.blocks().get(5).attention().rotary().base());
    assertEquals(1e4, gemma.blocks().get(0).attention().rotary().base());

    ModelSpec phi = spec("Phi-4-mini-instruct", (ObjectNode) configs.get("Phi-4-mini-instruct"));
    assertEquals(96, phi.blocks().get(0).attention().rotary().dimensions());

    ModelSpec withoutSome = spec("SmolLM3-3B", (ObjectNode) configs.get("SmolLM3-3B"));
    assertNotNull(withoutSome.blocks().get(2).attention().rotary());
    assertNull(withoutSome.blocks().get(3).attention().rotary());
  }

  private static ModelSpec spec(String name, ObjectNode json) {
    return ModelFamilies.spec(new ModelConfig(Path.of(name, "config.json"), json), Set.of());
  }

  private static JsonNode configs() throws IOException {
    try (InputStream stream =
        PublishedConfigTest.class.getResourceAsStream("published_configs.json")) {
      return new ObjectMapper().readTree(stream);
    }
  }
}
