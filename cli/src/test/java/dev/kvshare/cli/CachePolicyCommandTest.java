package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;
import static java.util.stream.Collectors.joining;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Cache policies on the command line, on a model of random weights. */
class CachePolicyCommandTest {
  private static final String PROMPT = "5,7,9,11,13,15,17,19,21,23,25,27,29,31,33,35,37,39,41,43";

  private static CommandRun apply(Object... more) {
    Object[] first = {
      "apply", "-m", TINY_MODEL, "--prompt-ids", PROMPT, "--print-ids", "-n", 8, "--threads", 1
    };
    return CommandRun.of(first, more);
  }

  @ParameterizedTest
  @ValueSource(strings = {"streaming-llm", "h2o", "SnapKV", "pyramid", "h2o+int8"})
  void anAmpleBudgetGivesTheTextOfTheWholeCache(String name) {
    String whole = apply().succeeds().out();
    CommandRun run = apply("--cache", name, "--cache-budget", 100, "--stats").succeeds();
    assertEquals(whole, run.out());
    assertTrue(run.err().contains("cache policy"), run.err());
  }

  @ParameterizedTest
  @CsvSource({
    "streaming-llm, StreamingLLM: 4 sinks and the last tokens",
    "h2o, H2O: 8 tokens",
    "snapkv, SnapKV: 8 tokens of the prompt",
    "pyramid, PyramidKV: 8 tokens of the prompt in the mean",
    "snapkv+int8, 8-bit integers",
    "h2o+int4, 4-bit integers"
  })
  void aSmallBudgetIsKept(String name, String description) {
    CommandRun run =
        apply("--cache", name, "--cache-budget", 8, "--stats", "--stats-every", 4).succeeds();
    assertTrue(run.err().contains(description), run.err());
    assertTrue(run.err().contains("4 tokens: KV cache "), run.err());
  }

  @Test
  void evalShowsTheProductOfBothSavings(@TempDir Path folder) throws IOException {
    Path ids = folder.resolve("ids.jsonl");
    String numbers = IntStream.range(3, 131).mapToObj(String::valueOf).collect(joining(","));
    Files.writeString(ids, "{\"ids\":[" + numbers + "]}\n");
    Path policy = folder.resolve("policy.json");
    Files.writeString(
        policy, "{\"schema\": \"kvshare.policy/1\", \"kv_source\": [0, 0, 2, 2, 4, 4, 6, 6]}");
    CommandRun run =
        CommandRun.of(
            "eval",
            "-m",
            TINY_MODEL,
            "-p",
            policy,
            "--force",
            "--text",
            ids,
            "--field",
            "ids",
            "--passage-tokens",
            64,
            "--no-speed",
            "--threads",
            1,
            "--cache",
            "snapkv,int8",
            "--cache-window",
            8,
            "--json");
    run.succeeds();
    JsonNode rows = new ObjectMapper().readTree(run.out()).get("rows");
    assertEquals(6, rows.size());
    JsonNode both = rows.get(4);
    assertEquals("snapkv", both.get("cache").asText());
    assertEquals(0.5, both.get("sharing_fraction").asDouble());
    double product = 0.5 * both.get("cache_fraction").asDouble();
    assertEquals(product, both.get("kv_fraction").asDouble(), 1e-12);
    assertEquals(rows.get(1).get("kv_bytes").asInt(), 2 * both.get("kv_bytes").asInt());
    CommandRun.of("eval", "-m", TINY_MODEL, "--cache-prompt", 8)
        .fails(ExitCodes.USAGE, "--cache-prompt goes with --cache");
  }

  private static CommandRun stream(int tokens, Object... more) {
    Object[] first = {
      "eval", "--stream", tokens, "--cache", "streaming-llm", "--cache-budget", 64, "--threads", 1
    };
    return CommandRun.of(first, more).succeeds();
  }

  @Test
  void aStreamTakesAsMuchMemoryAtItsEndAsBefore(@TempDir Path folder) throws IOException {
    // 12 layers, 2 heads, 64 slots of 2 x 32 numbers of 4 bytes and one place
    long bytes = 12 * 2 * 64 * (2 * 32 * 4 + 4);
    Path json = folder.resolve("stream.json");
    String table = stream(4000, "--format", "markdown", "--json", json).out();
    List<String> lines = table.lines().filter(line -> line.contains("streaming-llm")).toList();
    assertEquals(2, lines.size(), table);
    String cell = String.format(Locale.ROOT, "| %,d |", bytes);
    assertTrue(lines.stream().allMatch(line -> line.contains(cell)), table);

    JsonNode rows = new ObjectMapper().readTree(json.toFile()).get("rows");
    assertEquals(4, rows.size());
    assertTrue(rows.get(0).get("policy").isNull());
    assertTrue(rows.get(0).get("cache").isNull());
    JsonNode last = rows.get(3);
    assertEquals("streaming-llm", last.get("cache").asText());
    assertEquals(4000, last.get("tokens").asInt());
    assertEquals(bytes, last.get("kv_bytes").asLong());
    assertTrue(lines.get(1).contains("| %.2f |".formatted(last.get("perplexity").asDouble())));
  }

  @Test
  void aStreamIsPrintedInEveryForm() {
    String csv = stream(200, "--format", "csv").out();
    assertTrue(
        csv.startsWith("policy,cache,tokens,perplexity,kv_bytes,resident_bytes\n,,200,"), csv);
    assertEquals(3, csv.lines().count(), csv);
    assertTrue(stream(200).out().startsWith("policy "));
    assertTrue(stream(200, "--json").out().startsWith("{\n  \"rows\""));
  }

  @Test
  void wrongCombinationsAreUsageErrors() {
    apply("--cache", "lru").fails(ExitCodes.USAGE, "'lru' is not known", "streaming-llm");
    apply("--cache", "h2o", "--cache-sinks", 2)
        .fails(ExitCodes.USAGE, "--cache-sinks is an option of --cache streaming-llm");
    apply("--cache-budget", 8).fails(ExitCodes.USAGE, "--cache-budget is an option of");
    apply("--cache", "h2o", "--cache-budget", "half").fails(ExitCodes.USAGE, "'half' is no amount");
    apply("--cache", "h2o,snapkv").fails(ExitCodes.USAGE, "one cache policy");
  }

  @Test
  void whatDoesNotFitTheModelOrThePromptIsSaid() {
    apply("--cache", "streaming-llm", "--cache-budget", 4)
        .fails(ExitCodes.FAILED, "4 sinks leave no room", "budget of 4 tokens");
    Object gpt2 = TINY_MODEL.resolveSibling("../architectures/gpt2").normalize();
    CommandRun.of("apply", "-m", gpt2, "--prompt-ids", "5,7", "--cache", "streaming-llm")
        .fails(ExitCodes.FAILED, "learned positions", "h2o");
    CommandRun.of(
            "apply", "-m", gpt2, "--prompt-ids", PROMPT, "-n", 2, "--print-ids", "--cache", "h2o")
        .succeeds();
  }
}
