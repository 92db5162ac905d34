package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code eval --compare} on a model of random weights. */
@Tag("numerics")
class ComparisonCommandTest {
  private static final int PLANS = 10;

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
    assertEquals(PLANS, measured(first));
    List<JsonNode> rows = rows(first);
    assertEquals(2 * PLANS, rows.size());
    assertEquals(
        List.of("kvsharer", "similar", "random", "share", "windows", "auto"),
        rows.stream().map(row -> row.get("method").asText()).distinct().toList());
    for (JsonNode row : rows) {
      assertEquals(2, row.get("size").asInt());
      assertTrue(row.get("reduced_layers").asInt() >= 1);
      assertTrue(row.get("unshared_perplexity").asDouble() > 1);
      assertTrue(row.get("plain_ratio").asDouble() > 0);
      assertTrue(row.get("repaired_ratio").asDouble() > 0);
    }
    Plan shared = PolicyFile.read(kept.resolve("share-2.json")).plan();
    assertTrue(shared.map().sharedLayers() >= 1);
    Plan windowed = PolicyFile.read(kept.resolve("windows-2.json")).plan();
    assertEquals(2, windowed.windowedLayers().size());
    Plan nearer = PolicyFile.read(kept.resolve("auto-2.json")).plan();
    assertTrue(List.of(shared, windowed).contains(nearer), nearer.toString());

    // A run that was interrupted before its last plans, and within a write.
    Files.delete(kept.resolve("auto-2.results.json"));
    Files.writeString(kept.resolve("random3-2.results.json"), "{\"policy\":");
    CommandRun resumed = CommandRun.of(compare).succeeds();
    assertEquals(2, measured(resumed));
    assertEquals(withoutTimes(rows), withoutTimes(rows(resumed)));
    assertEquals(0, measured(CommandRun.of(compare).succeeds()));

    // Results of another number format are not taken for these.
    List<Object> rounded = new ArrayList<>(List.of(compare));
    rounded.addAll(List.of("--dtype", "bfloat16"));
    CommandRun.of(rounded.toArray()).fails(ExitCodes.FAILED, "holds results of another experiment");
  }

  private static long measured(CommandRun run) {
    return run.err().lines().filter(line -> line.contains("measured ")).count();
  }

  private static List<JsonNode> rows(CommandRun run) throws IOException {
    List<JsonNode> rows = new ArrayList<>();
    new ObjectMapper().readTree(run.out()).get("rows").forEach(rows::add);
    return rows;
  }

  private static List<JsonNode> withoutTimes(List<JsonNode> rows) {
    return rows.stream()
        .map(
            row ->
                ((ObjectNode) row.deepCopy()).remove(List.of("search_seconds", "repair_seconds")))
        .map(row -> (JsonNode) row)
        .toList();
  }
}
