package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.StringJoiner;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The whole way from token ids to a policy and back, on a model of random weights. */
class TinyModelTest {
  private static final int VOCABULARY = 256;

  @TempDir static Path folder;
  private static Path ids;

  /** A policy under which 2 of the 8 layers share. */
  private static Path policy;

  @BeforeAll
  static void calibrateOnce() throws IOException {
    Random random = new Random(1);
    StringBuilder lines = new StringBuilder();
    for (int line = 0; line < 4; line++) {
      StringJoiner numbers = new StringJoiner(",", "{\"ids\":[", "]}\n");
      for (int token = 0; token < 32; token++) {
        numbers.add(String.valueOf(random.nextInt(VOCABULARY)));
      }
      lines.append(numbers);
    }
    ids = Files.writeString(folder.resolve("ids.jsonl"), lines);
    policy = folder.resolve("two layers.json");
    calibrate("--share-layers", 2, "--threshold", -1, "--out", policy).succeeds();
  }

  private static CommandRun calibrate(Object... more) {
    return CommandRun.of(
        with(more, "calibrate", "--model", TINY_MODEL, "--text", ids, "--field", "ids"));
  }

  private static Object[] with(Object[] more, Object... first) {
    return Stream.concat(Arrays.stream(first), Arrays.stream(more)).toArray();
  }

  @Test
  void calibrateWritesPolicyAndReportAndSaysWhatIsNext() throws IOException {
    Path again = folder.resolve("the same.json");
    CommandRun run =
        calibrate("--share-layers", 2, "--threshold", -1, "--out", again)
            .succeeds()
            .prints("2 of 8 layers")
            .prints("○")
            .prints("wrote the policy " + again)
            .prints("wrote the report " + folder.resolve("the same.report.html"));
    assertEquals(2, PolicyFile.read(again).map().sharedLayers());
    assertTrue(Files.exists(folder.resolve("the same.report.html")));
    assertFalse(Files.exists(folder.resolve("the same.json.journal")));
    assertTrue(run.err().contains("kvshare eval --model " + TINY_MODEL), run.err());
    assertTrue(run.err().contains("--policy '" + again + "'"), run.err());
    assertArrayEquals(Files.readAllBytes(policy), Files.readAllBytes(again));
  }

  /** Layers 0 and 2 of this Gemma 2 have a window, 1 and 3 have none. */
  @Test
  void layersOfTwoKindsShareOnlyWhenAsked() {
    Path model = TINY_MODEL.resolveSibling("../architectures/gemma2").normalize();
    Path apart = folder.resolve("apart.json");
    Path mixed = folder.resolve("mixed.json");
    Object[] run = {
      "calibrate",
      "--model",
      model,
      "--text",
      ids,
      "--field",
      "ids",
      "--share-layers",
      3,
      "--threshold",
      -1,
      "--no-report",
      "--out"
    };

    assertEquals(ExitCodes.NOT_MET, CommandRun.of(with(new Object[] {apart}, run)).exitCode());
    CommandRun.of(with(new Object[] {mixed, "--across-kinds"}, run)).succeeds();

    assertArrayEquals(new int[] {0, 1, 0, 1}, PolicyFile.read(apart).map().toArray());
    assertArrayEquals(new int[] {0, 0, 0, 0}, PolicyFile.read(mixed).map().toArray());
  }

  @Test
  void aSchemeIsMeasuredAndWrittenWithoutASearch() {
    Path lckv = folder.resolve("lckv.json");
    calibrate("--method", "lckv", "--forward-passes", 5, "--out", lckv)
        .succeeds()
        .prints("0_6_6_6_6_6_6_7")
        .prints("△")
        .prints("7 passes")
        .prints("similarity");
    Path yoco = folder.resolve("yoco.json");
    calibrate("--layer-types", "0s_1s_2s_3_3_3_3_3", "--sliding-window", 6, "--out", yoco)
        .succeeds();

    assertArrayEquals(new int[] {0, 6, 6, 6, 6, 6, 6, 7}, PolicyFile.read(lckv).map().toArray());
    assertEquals(new UpwardReading.Parallel(5, 2), PolicyFile.read(lckv).plan().upward());
    assertEquals("lckv", PolicyFile.read(lckv).calibration().method());
    assertEquals(6, PolicyFile.read(yoco).plan().windows().last());
    assertEquals(List.of(0, 1, 2), PolicyFile.read(yoco).plan().windowedLayers());
    assertTrue(PolicyFile.read(yoco).calibration().similarity() < 1);
  }

  @Test
  void schemesThatMakeNoSenseAreRefused() {
    Path out = folder.resolve("never.json");
    calibrate("--method", "burger", "--out", out).fails(ExitCodes.USAGE, "no scheme 'burger'");
    calibrate("--layer-types", "0_1", "--out", out)
        .fails(ExitCodes.USAGE, "2 layers, but the model has 8");
    calibrate("--layer-types", "1_2_0_3_4_5_6_7", "--out", out)
        .fails(ExitCodes.USAGE, "must keep its own");
    calibrate("--method", "lckv", "--share-layers", 3, "--out", out)
        .fails(ExitCodes.USAGE, "leave out");
    calibrate("--kv-layers", 3, "--out", out).fails(ExitCodes.USAGE, "belong to a scheme");
  }

  @Test
  void inspectChecksOutputsOfTheLckvCode() throws IOException {
    Path reference = CommandRun.TINY_MODEL.getParent();
    JsonNode golden = new ObjectMapper().readTree(reference.resolve("lckv.json").toFile());
    String inputs = golden.get("input_ids").toString().replaceAll("[\\[\\] ]", "");
    Object[] rest = {
      "inspect",
      TINY_MODEL,
      "--input-ids",
      inputs,
      "--check",
      reference.resolve("lckv_logits.safetensors"),
      "--forward-passes",
      7,
      "--backward-passes",
      2
    };
    CommandRun.of(
            with(
                new Object[] {
                  "--layer-types", "0_6_6_6_6_6_6_7", "--tensor", "lckv/flash+fix/incremental"
                },
                rest))
        .succeeds()
        .prints("12 tokens at once");
    CommandRun.of(
            with(
                new Object[] {
                  "--layer-types",
                  "0s_1s_2s_3_3_3_3_3",
                  "--tensor",
                  "yoco_sw6/flash/full",
                  "--sliding-window",
                  6
                },
                rest))
        .succeeds()
        .prints("window of 7 tokens");
    CommandRun missed =
        CommandRun.of(
            with(
                new Object[] {
                  "--layer-types",
                  "0s_1s_2s_3_3_3_3_3",
                  "--tensor",
                  "yoco_sw6/eager/full",
                  "--sliding-window",
                  5
                },
                rest));
    assertEquals(ExitCodes.NOT_MET, missed.exitCode());
  }

  @Test
  void aSweepMeasuresTheNineConfigurations() {
    Object[] options = {
      "eval",
      "--model",
      TINY_MODEL,
      "--text",
      ids,
      "--field",
      "ids",
      "--passage-tokens",
      16,
      "--sweep=4",
      "--no-repair"
    };
    CommandRun.of(with(new Object[] {"--no-speed", "--passages", 1}, options))
        .succeeds()
        .prints("4x pizza-bottom, 2 KV layers")
        .prints("4x lasagna-top, 2 KV layers")
        .prints("mixattention, window 4, 4 KV layers")
        .prints("Post-hoc sharing");
  }

  @Test
  void aShortTextForTheRepairsOfASweepIsSaidInAParagraph() throws IOException {
    Path few = Files.writeString(folder.resolve("few.jsonl"), "{\"input_ids\":[1,2,3,4,5]}\n");
    CommandRun.of(
            "eval",
            "--model",
            TINY_MODEL,
            "--text",
            ids,
            "--field",
            "ids",
            "--passage-tokens",
            16,
            "--sweep=4",
            "--repair-text",
            few)
        .fails(ExitCodes.FAILED, "is too short for a repair: 8 passages of 32 tokens are needed");
  }

  @Test
  void aSweepTakesWhatAnEarlierOneKept() throws IOException {
    Path kept = folder.resolve("sweep");
    Object[] options = {
      "eval",
      "--model",
      TINY_MODEL,
      "--text",
      ids,
      "--field",
      "ids",
      "--passage-tokens",
      16,
      "--passages",
      1
    };
    Object[] sweep = {"--sweep=4", "--no-repair", "--sweep-folder", kept, "--json"};
    String first = CommandRun.of(with(with(sweep, "--no-speed"), options)).succeeds().out();
    Path row = kept.resolve("4x-pizza-bottom-2-kv-layers.results.json");
    Files.writeString(
        row,
        Files.readString(row)
            .replaceFirst("(\"policy\":\"4x[^}]*\"value\":)[0-9.E]+", "$1" + 12345.0));
    JsonNode before = new ObjectMapper().readTree(first).get("rows");
    JsonNode after =
        new ObjectMapper()
            .readTree(
                CommandRun.of(with(with(sweep, "--prompt-tokens", 8, "--new-tokens", 1), options))
                    .succeeds()
                    .out())
            .get("rows");

    assertEquals(before.size(), after.size());
    assertEquals(12345, after.get(1).get("perplexity").asDouble());
    assertEquals(before.get(2).get("perplexity"), after.get(2).get("perplexity"));
    assertTrue(before.get(2).get("prefill_seconds").isNull());
    assertTrue(after.get(2).get("prefill_seconds").asDouble() > 0);
    CommandRun.of(with(with(sweep, "--dtype", "bfloat16"), options))
        .fails(ExitCodes.FAILED, "holds results of another experiment");
    CommandRun.of("eval", "--sweep-folder", kept)
        .fails(ExitCodes.USAGE, "--sweep-folder goes with --sweep");
  }

  @Test
  void aPolicyIsExportedForTheLckvCode() throws IOException {
    Path written = folder.resolve("for-export.json");
    calibrate("--method", "lckv", "--out", written).succeeds();
    Path directory = folder.resolve("lckv-checkpoint");
    CommandRun.of(
            "apply", "--model", TINY_MODEL, "-p", written, "--export", "lckv", "--out", directory)
        .succeeds();

    CommandRun.of("inspect", directory).succeeds().prints("lckv-llama").prints("△");
    CommandRun.of("apply", "--model", directory, "--prompt-ids", "5,7,9", "-n", 3).succeeds();
    CommandRun.of(
            "eval", "--model", directory, "--text", ids, "--field", "ids", "--passage-tokens", 16)
        .succeeds();
    CommandRun.of("apply", "--model", TINY_MODEL, "--export", "lckv", "--out", directory)
        .fails(ExitCodes.USAGE, "give --policy and --out");
  }

  @Test
  void policiesWithWindowsAndUpwardSourcesRunEverywhere() throws IOException {
    Path policy = folder.resolve("upward.json");
    Files.writeString(
        policy,
        "{\"schema\": \"kvshare.policy/1\", \"kv_source\": [0, 6, 6, 6, 6, 6, 6, 7],"
            + " \"upper\": {\"forward_passes\": 7, \"backward_passes\": 2},"
            + " \"sliding_window\": 8, \"windowed_layers\": [0, 7]}");
    Object[] rest = {"--model", TINY_MODEL, "--policy", policy, "--force"};

    CommandRun.of(with(rest, "apply", "--prompt-ids", "5,7", "--prompt-ids", "5,7,9")).succeeds();
    CommandRun.of(with(rest, "eval", "--text", ids, "--field", "ids", "--passage-tokens", 16))
        .succeeds()
        .prints("37.5 %");
  }

  @Test
  void aSizeOutOfReachEndsWithCode3AndThePolicyThatWasFound() {
    Path found = folder.resolve("high.json");
    CommandRun run =
        calibrate("--share-layers", 6, "--threshold", 0.999999, "--out", found, "--quiet");
    assertEquals(ExitCodes.NOT_MET, run.exitCode());
    run.prints("less than asked for (6)");
    assertEquals("", run.err());
    assertTrue(PolicyFile.read(found).map().sharedLayers() < 6);
  }

  @Test
  void keptStatisticsSolveAnotherBudget() throws IOException {
    Path statistics = folder.resolve("statistics");
    Path one = folder.resolve("1.json");
    calibrate("-n", 1, "--threshold", -1, "--out", one, "--save-stats", statistics).succeeds();
    Path two = folder.resolve("2.json");
    CommandRun.of(
            "calibrate",
            "--model",
            TINY_MODEL,
            "--stats",
            statistics,
            "--keep",
            "6layers",
            "--threshold",
            "-1",
            "--out",
            two,
            "--no-report")
        .succeeds();
    assertEquals(withoutCommand(policy), withoutCommand(two));
    assertEquals(
        "kvshare calibrate --model %s --keep 6layers --threshold -1 --stats %s"
            .formatted(TINY_MODEL, statistics),
        PolicyFile.read(two).calibration().command());
    assertFalse(Files.exists(folder.resolve("2.report.html")));
  }

  /** A policy apart from the command that made it. */
  private static JsonNode withoutCommand(Path file) throws IOException {
    ObjectNode read = (ObjectNode) new ObjectMapper().readTree(file.toFile());
    ((ObjectNode) read.get("calibration")).remove("command");
    return read;
  }

  @Test
  void anExistingOutputIsKeptUnlessForced() throws IOException {
    Path existing = Files.writeString(folder.resolve("existing.json"), "mine");
    calibrate("--out", existing)
        .fails(ExitCodes.FAILED, existing.toString(), "exists already", "--force", "--out");
    assertEquals("mine", Files.readString(existing));
    calibrate("--out", existing, "-n", 1, "--threshold", -1, "--force").succeeds();
    assertEquals(1, PolicyFile.read(existing).map().sharedLayers());
  }

  @Test
  void aPageThatIsNoReportIsKept() throws IOException {
    Path page = folder.resolve("paged.report.html");
    Files.writeString(page, "<!DOCTYPE html><title>What I know of kvshare</title>");
    Object[] out = {"--out", folder.resolve("paged.json"), "-n", 1, "--threshold", -1};
    calibrate(out).fails(ExitCodes.FAILED, page.toString(), "exists already", "--report");
    Files.delete(page);
    calibrate(out).succeeds();
    Files.delete(folder.resolve("paged.json"));
    calibrate(out).succeeds();
  }

  @Test
  void applyContinuesTokenIds() {
    Object[] apply = {"apply", "-m", TINY_MODEL, "--prompt-ids", "5,7,9", "--print-ids", "-n", 4};
    String unshared = CommandRun.of(apply).succeeds().out();
    assertEquals(4, unshared.strip().split(",").length, unshared);
    String statistics =
        CommandRun.of(with(new Object[] {"--policy", policy, "--stats"}, apply)).succeeds().err();
    // 6 of 8 layers keep 2 x 2 heads x 16 elements x 4 bytes.
    assertTrue(statistics.contains("1536 bytes a token"), statistics);
    Object[] without = with(new Object[] {"--policy", policy, "--no-policy"}, apply);
    assertEquals(unshared, CommandRun.of(without).succeeds().out());
  }

  @Test
  void evalComparesPoliciesInEveryFormat() throws IOException {
    Path json = folder.resolve("rows.json");
    Object[] eval = {
      "eval",
      "-m",
      TINY_MODEL,
      "-p",
      policy,
      "--text",
      ids,
      "--field",
      "ids",
      "--passage-tokens",
      64,
      "--passages",
      2,
      "--no-speed",
      "--format",
      "markdown",
      "--html",
      folder.resolve("page.html"),
      "--json",
      json
    };
    CommandRun.of(eval).succeeds().prints("| (unshared) |").prints("| " + policy + " |");
    JsonNode rows = new ObjectMapper().readTree(json.toFile()).get("rows");
    assertEquals("baseline streaming-4+44", rows.get(2).get("policy").asText());
    assertEquals("baseline int8", rows.get(3).get("policy").asText());
    assertEquals("baseline int4", rows.get(4).get("policy").asText());
    assertEquals(5, rows.size());
    assertTrue(Files.readString(folder.resolve("page.html")).endsWith("</html>\n"));
    assertTrue(rows.get(0).get("policy").isNull());
    assertEquals(policy.toString(), rows.get(1).get("policy").asText());
    assertEquals(0.75, rows.get(1).get("kv_fraction").asDouble());
    assertEquals(1536, rows.get(1).get("kv_bytes_per_token").asInt());
    CommandRun.of(eval).fails(ExitCodes.FAILED, json.toString(), "exists already", "--json");
  }

  @Test
  void jsonAloneIsAllOfStandardOutput() throws IOException {
    String out =
        CommandRun.of(
                "eval",
                "-m",
                TINY_MODEL,
                "--text",
                ids,
                "--field",
                "ids",
                "--passage-tokens",
                32,
                "--json",
                "--no-speed")
            .succeeds()
            .out();
    assertEquals(1, new ObjectMapper().readTree(out).get("rows").size());
  }

  @Test
  void inspectExplainsModelAndPolicy() {
    CommandRun.of("inspect", TINY_MODEL, "--memory", "1MiB")
        .succeeds()
        .prints("family       llama")
        .prints("4 query, 2 key/value, head size 16")
        .prints("none: token ids only")
        .prints("the weights do not fit");
    CommandRun.of("inspect", policy)
        .succeeds()
        .prints("6 of 8 layers keep one (75.0 %): 768 bytes a token instead of 1.0 KiB")
        .prints("method       auto");
  }

  /** An editor's byte-order mark does not make a model of a policy. */
  @Test
  void inspectKnowsAPolicyWithAByteOrderMark() throws IOException {
    Path marked = policy.resolveSibling("marked.json");
    Files.writeString(marked, "\uFEFF" + Files.readString(policy));
    CommandRun.of("inspect", marked).succeeds().prints("6 of 8 layers keep one");
  }

  @Test
  void checkTellsPassFromFailure() {
    Path golden = TINY_MODEL.resolve("../../architectures/llama/golden.safetensors").normalize();
    Path model = golden.getParent();
    CommandRun.of("inspect", model, "--check", golden)
        .succeeds()
        .prints("all 16 tokens equal")
        .prints("passed: nothing differs by more than 2.0E-4");
    CommandRun step = CommandRun.of("inspect", model, "--check", golden, "--prefill-tokens", 7);
    step.succeeds().prints("logits[2,20,256]");
    CommandRun strict = CommandRun.of("inspect", model, "--check", golden, "--tolerance", 0);
    assertEquals(ExitCodes.NOT_MET, strict.exitCode(), strict.err());
    strict.prints("NOT passed");
  }

  @Test
  void aPolicyOfAnotherModelIsRefusedUnlessForced() throws IOException {
    Path other = folder.resolve("other.json");
    String text = Files.readString(policy);
    Files.writeString(other, text.replaceFirst("sha256:\\p{XDigit}{8}", "sha256:00000000"));
    Object[] apply = {
      "apply", "-m", TINY_MODEL, "--policy", other, "--prompt-ids", "1,2", "--print-ids", "-n", 2
    };
    CommandRun.of(apply).fails(ExitCodes.FAILED, "fingerprint");
    CommandRun.of(with(new Object[] {"--force"}, apply)).succeeds();
  }
}
