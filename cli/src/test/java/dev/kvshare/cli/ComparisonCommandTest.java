package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.policy.PolicyFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code eval --compare} on a model of random weights. */
@Tag("numerics")
class ComparisonCommandTest {
  private static final int MAPS = 10;

  @TempDir private Path folder;

  @Test
  void everyMethodIsMeasuredAndAnInterruptedRunGoesOn() throws IOException {
    Path text = TokenFile.write(folder.resolve("text, first.jsonl"), 2, 64, 3);
    Path other = TokenFile.write(folder.resolve("other.jsonl"), 2, 64, 4);
    Path repair = TokenFile.write(folder.resolve("repair.jsonl"), 40, 128, 5);
    Path kept = folder.resolve("kept");
    Object[] compare = {
      "eval",
      "--model",
      TINY_MODEL,
      "--compare",
      "0.25",
      "--compare-folder",
      kept,
      "--text",
      text,
      "--text",
      other,
      "--passage-tokens",
      16,
      "--passages",
      2,
      "--repair-text",
      repair,
      "--repair-tokens",
      2000,
      "--threads",
      1,
      "--format",
      "json"
    };

    CommandRun first = CommandRun.of(compare).succeeds();
    assertEquals(MAPS, measured(first));
    List<JsonNode> maps = maps(first);
    assertEquals(MAPS, maps.size());
    assertEquals(
        List.of("dissimilar", "similar", "random", "auto", "windows"),
        maps.stream().map(map -> map.get("method").asText()).distinct().toList());
    for (JsonNode map : maps) {
      assertEquals(2, map.get("size").asInt());
      assertTrue(map.get("sharedLayers").asInt() >= 1);
      assertEquals(2, map.get("texts").size());
      for (JsonNode onText : map.get("texts")) {
        assertTrue(onText.get("plain").asDouble() > 0 && onText.get("repaired").asDouble() > 0);
      }
    }
    assertTrue(PolicyFile.read(kept.resolve("auto-2.json")).map().sharedLayers() >= 1);
    assertEquals(2, PolicyFile.read(kept.resolve("windows-2.json")).plan().windowedLayers().size());

    // A run that was interrupted before its last maps, and within a write.
    Files.delete(kept.resolve("auto-2.rows.json"));
    Files.writeString(kept.resolve("random3-2.rows.json"), "{\"settings\":");
    CommandRun resumed = CommandRun.of(compare).succeeds();
    assertEquals(2, measured(resumed));
    assertEquals(withoutTimes(maps), withoutTimes(maps(resumed)));
    assertEquals(0, measured(CommandRun.of(compare).succeeds()));
  }

  private static long measured(CommandRun run) {
    return run.err().lines().filter(line -> line.contains("measured ")).count();
  }

  private static List<JsonNode> maps(CommandRun run) throws IOException {
    return List.of(new ObjectMapper().readValue(run.out(), JsonNode[].class));
  }

  private static List<JsonNode> withoutTimes(List<JsonNode> maps) {
    return maps.stream()
        .map(map -> ((ObjectNode) map.deepCopy()).remove(List.of("searchSeconds", "repairSeconds")))
        .map(map -> (JsonNode) map)
        .toList();
  }
}
