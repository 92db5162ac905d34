package dev.kvshare.apply.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

class ModelConfigTest {
  private final ObjectNode json = JsonNodeFactory.instance.objectNode();

  @Test
  void readsValuesOfEachKind() {
    json.put("n", 7).put("x", 0.5).put("t", "text").put("yes", true).put("whole", 3.0);
    json.putArray("layers").add(1).add(2);
    json.putObject("nested").put("x", 2);
    ModelConfig config = config();
    assertEquals(7, config.positive("n"));
    assertEquals(3, config.integer("whole"));
    assertEquals(7.0, config.number("n"));
    assertEquals(0.5, config.number("x", 9));
    assertEquals("text", config.string("t"));
    assertTrue(config.bool("yes", false));
    assertEquals(List.of(1, 2), config.integers("layers"));
    assertEquals(2, config.child("nested").number("x"));
  }

  @Test
  void nullCountsAsAbsent() {
    json.putNull("n");
    ModelConfig config = config();
    assertFalse(config.has("n"));
    assertEquals(5, config.integer("n", 5));
    assertEquals(5, config.positiveOr("n", 5));
    assertNull(config.child("n"));
    assertEquals(Set.of(), config.unreadKeys());
  }

  @Test
  void rememberedWhichKeysWereRead() {
    json.put("a", 1).put("b", 2).put("c", 3);
    ModelConfig config = config();
    config.integer("a");
    config.has("b");
    config.contains("c");
    assertEquals(Set.of("c"), config.unreadKeys());
  }

  @Test
  void namesFileKeyValueAndRule() {
    json.put("n", 0).put("text", "7").put("half", 1.5).put("large", 1L << 40);
    json.putObject("nested").put("n", -1);
    refused(config -> config.integer("absent"), "'absent' is absent", "whole number");
    refused(config -> config.positive("n"), "'n' is 0", "at least 1");
    refused(config -> config.integer("text"), "'text' is \"7\"");
    refused(config -> config.integer("half"), "'half' is 1.5");
    refused(config -> config.integer("large"), "'large' is 1099511627776", "2147483648");
    refused(config -> config.number("text"), "a finite number");
    refused(config -> config.bool("n", true), "true or false");
    refused(config -> config.string("n"), "a text");
    refused(config -> config.integers("n"), "an array");
    refused(config -> config.child("n"), "an object");
    refused(config -> config.child("nested").positive("n"), "'nested.n' is -1");
  }

  private void refused(Consumer<ModelConfig> getter, String... fragments) {
    String message =
        assertThrows(CheckpointException.Unsupported.class, () -> getter.accept(config()))
            .getMessage();
    assertTrue(message.startsWith("model/config.json: "), message);
    for (String fragment : fragments) {
      assertTrue(message.contains(fragment), message);
    }
  }

  private ModelConfig config() {
    return new ModelConfig(Path.of("model/config.json"), json);
  }
}
