package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A policy whose layers keep the first and last tokens, from {@code calibrate} to its use. */
@Tag("numerics")
class WindowCommandTest {
  @TempDir static Path folder;
  private static Path text;
  private static Path policy;
  private static CommandRun calibration;

  @BeforeAll
  static void calibrateOnce() throws IOException {
    text = TokenFile.write(folder.resolve("text.jsonl"), 60, 64, 1);
    policy = folder.resolve("windows.json");
    calibration = calibrate("--out", policy).succeeds();
  }

  private static CommandRun calibrate(Object... more) {
    return CommandRun.of(
        "calibrate",
        "--model",
        TINY_MODEL,
        "--text",
        text,
        "--method",
        "windows",
        "--keep",
        "5layers",
        "--window",
        4,
        "--sinks",
        2,
        "--repair",
        "--threads",
        1,
        more);
  }

  @Test
  void thePolicySaysWhatIsKept() throws IOException {
    Policy found = PolicyFile.read(policy);
    assertTrue(found.map().isIdentity());
    assertEquals(3, found.plan().windowedLayers().size());
    assertEquals(4, found.plan().windows().last());
    assertEquals(2, found.plan().windows().first());
    assertEquals(5, found.model().kvUse(found.plan()).wholeTextLayers());
    assertEquals(512, found.savings().context());
    assertEquals(0.629, found.savings().kvFraction());
    assertEquals("windows", found.calibration().method());
    assertEquals("windows", found.calibration().compared().get(0).method());
    assertTrue(found.validation().divergence() <= found.validation().plainDivergence());
    calibration
        .prints("3 of 8 layers keep the first 2 and the last 4 tokens")
        .prints("after a short repair KL divergence");
    String report = Files.readString(folder.resolve("windows.report.html"));
    assertTrue(report.contains("3 of 8 layers are windowed"), report);
    assertTrue(report.contains("the first 2 and the last 4 tokens are kept"), report);
    assertTrue(report.contains("of a text of 512 tokens"), report);
    assertTrue(report.contains("KV bytes per further token"), report);
    int layer = found.plan().windowedLayers().get(0);
    assertTrue(report.contains("layer " + layer + " keeps the first and last tokens: "), report);
    assertEquals(3, report.split("class=\"taken\"", -1).length - 1);
  }

  @Test
  void twoRunsWriteEqualPoliciesAndWeights() throws IOException {
    Path again = Files.createDirectory(folder.resolve("again")).resolve("windows.json");
    calibrate("--out", again).succeeds();
    assertArrayEquals(Files.readAllBytes(policy), Files.readAllBytes(again));
    String weights = PolicyFile.read(policy).repair().file();
    assertArrayEquals(
        Files.readAllBytes(policy.resolveSibling(weights)),
        Files.readAllBytes(again.resolveSibling(weights)));
  }

  @Test
  void evalMeasuresIt() throws IOException {
    JsonNode rows = new ObjectMapper().readTree(eval("--json").succeeds().out()).get("rows");
    double unshared = rows.get(0).get("perplexity").asDouble();
    assertNotEquals(unshared, rows.get(1).get("perplexity").asDouble());
    JsonNode plain =
        new ObjectMapper().readTree(eval("--json", "--no-repair").succeeds().out()).get("rows");
    assertNotEquals(
        rows.get(1).get("perplexity").asDouble(), plain.get(1).get("perplexity").asDouble());
  }

  /** A text that is no longer than what is kept is computed as without the policy. */
  @Test
  void nothingIsLostOfAShortText() {
    Object[] request = {"--prompt-ids", "5,7,9", "--print-ids", "-n", 2};
    Object[] apply = {"apply", "--model", TINY_MODEL};
    assertEquals(
        CommandRun.of(apply, request).succeeds().out(),
        CommandRun.of(apply, request, "--policy", policy, "--no-repair").succeeds().out());
  }

  /** The passages are as long as those that the calibration repairs on. */
  @Test
  void aDryRunPredictsIt() throws IOException {
    CommandRun windows = calibrate("--dry-run").succeeds().prints("until 3 layers are windowed");
    assertTrue(windows.out().contains("repair on 3,840 tokens"), windows.out());
    assertTrue(windows.out().contains("0 tests, 1 repaired plans"), windows.out());
    Path longText = TokenFile.write(folder.resolve("long.jsonl"), 20, 512, 1);
    Object[] dry = {"calibrate", "--model", TINY_MODEL, "--text", longText, "--dry-run"};
    CommandRun.of(dry, "--method", "windows", "--keep", "5layers")
        .succeeds()
        .prints("in passages of 512");
    CommandRun.of(dry, "--share-layers", 3).succeeds().prints("in passages of 256");
  }

  @Test
  void aDryRunOfASchemeWritesNothing() {
    Path never = folder.resolve("scheme.json");
    CommandRun.of(
            "calibrate",
            "--model",
            TINY_MODEL,
            "--text",
            text,
            "--method",
            "yoco",
            "--dry-run",
            "--threads",
            1,
            "--out",
            never)
        .succeeds()
        .prints("yoco, 30 samples");
    assertFalse(Files.exists(never));
  }

  @Test
  void aSchemeWithWindowsIsRepaired() throws IOException {
    Path yoco = folder.resolve("yoco.json");
    CommandRun.of(
            "calibrate",
            "--model",
            TINY_MODEL,
            "--text",
            text,
            "--method",
            "yoco",
            "--sliding-window",
            6,
            "--threads",
            1,
            "--out",
            yoco)
        .succeeds();
    Policy found = PolicyFile.read(yoco);
    assertTrue(found.validation().divergence() < found.validation().plainDivergence());
    assertTrue(found.repair() != null);
  }

  /** Of 512 tokens, the most that the model takes. */
  @Test
  void aBudgetIsMetByWhateverComesNearer() throws IOException {
    Path chosen = folder.resolve("chosen.json");
    CommandRun run = budget("--window", 4, "--sinks", 2, "--out", chosen).succeeds();
    run.prints("  windows ").prints("  kvsharer ").prints("  share ");
    Policy found = PolicyFile.read(chosen);
    String nearest = found.calibration().compared().get(0).method();
    assertTrue(found.calibration().compared().get(0).reached());
    boolean windowed = nearest.equals("windows") || nearest.equals("mixed");
    assertEquals(windowed, !found.plan().windowedLayers().isEmpty());
    assertFalse(run.err().contains("compare --method windows"), run.err());
    assertEquals(windowed, run.out().contains("Sharing alone loses more"), run.out());
    assertEquals(windowed, run.out().contains(" --method share"), run.out());
    assertTrue(nearest.equals("kvsharer") || run.out().contains(" --method kvsharer"), run.out());

    Path sharing = folder.resolve("sharing.json");
    run = budget("--method", "share", "--out", sharing).succeeds();
    assertFalse(run.out().contains("  windows "), run.out());
    assertEquals(3, PolicyFile.read(sharing).map().sharedLayers());
    assertTrue(run.err().contains("compare --method windows --keep 5layers"), run.err());
  }

  @Test
  void whereTheTextShowsNoWindowsLayersShare() throws IOException {
    Path shared = folder.resolve("shared.json");
    CommandRun run = budget("--window", 300, "--save-stats", "--out", shared).succeeds();
    assertTrue(run.err().contains("no passage of 608 tokens"), run.err());
    assertEquals(3, PolicyFile.read(shared).map().sharedLayers());

    Path solved = folder.resolve("solved.json");
    CommandRun again =
        CommandRun.of(
                "calibrate",
                "--model",
                TINY_MODEL,
                "--stats",
                folder.resolve("shared.stats.safetensors"),
                "--keep",
                0.7,
                "--threads",
                1,
                "--out",
                solved)
            .succeeds();
    assertTrue(again.err().contains("the statistics hold no text"), again.err());
    assertEquals(3, PolicyFile.read(solved).map().sharedLayers());
  }

  private static CommandRun budget(Object... more) {
    return CommandRun.of(
        "calibrate", "--model", TINY_MODEL, "--text", text, "--keep", 0.7, "--threads", 1, more);
  }

  @Test
  void optionsThatDoNotGoTogetherAreRefused() throws IOException {
    Path never = folder.resolve("never.json");
    Object[] shares = {"calibrate", "--model", TINY_MODEL, "--text", text, "--out", never};
    Object[] windows = {
      "calibrate", "--model", TINY_MODEL, "--text", text, "--out", never, "--method", "windows"
    };
    CommandRun.of(windows, "--share-layers", 2)
        .fails(ExitCodes.USAGE, "with the method windows no layers share");
    CommandRun.of(windows, "--keep", "5layers", "--share-layers", 2)
        .fails(ExitCodes.USAGE, "--keep means nothing with --share-layers");
    for (String method : List.of("similar", "kvsharer", "share")) {
      CommandRun.of(shares, "--method", method, "--sinks", 4)
          .fails(ExitCodes.USAGE, "--sinks is for layers that keep the first and last tokens");
      CommandRun.of(shares, "--method", method, "--context", 512)
          .fails(ExitCodes.USAGE, "--context is for layers that keep");
    }
    CommandRun.of(shares, "--share-layers", 2, "--sinks", 4)
        .fails(ExitCodes.USAGE, "here layers only share");
    CommandRun.of("calibrate", "--model", TINY_MODEL, "--method", "windows", "--stats", never)
        .fails(ExitCodes.USAGE, "--stats holds samples");
    CommandRun.of(windows, "--keep", "5layers", "--window", 4000)
        .fails(ExitCodes.USAGE, "the first 4 and the last 4000 of 512 tokens cannot come to");
    Path brief = TokenFile.write(folder.resolve("brief.jsonl"), 2, 30, 1);
    CommandRun.of(
            "calibrate",
            "--model",
            TINY_MODEL,
            "--text",
            brief,
            "--method",
            "windows",
            "--tokens",
            16,
            "--out",
            never)
        .fails(ExitCodes.USAGE, "no passage of more than 68 tokens");
    CommandRun.of(windows, "--keep", "9layers")
        .fails(ExitCodes.USAGE, "Keeping 9 layers is more than the model has");
    CommandRun.of(windows, "--prefer-top").fails(ExitCodes.USAGE, "--prefer-top is for");
    assertFalse(Files.exists(never));
  }

  /** Of a text of 32 tokens, layers with a window of 6 keep much more than of one of 512. */
  @Test
  void theContextDecidesHowManyLayersAreWindowed() throws IOException {
    Path brief = folder.resolve("brief.json");
    CommandRun.of(
            "calibrate",
            "--model",
            TINY_MODEL,
            "--text",
            text,
            "--method",
            "windows",
            "--keep",
            "62.9%",
            "--window",
            4,
            "--sinks",
            2,
            "--threads",
            1,
            "--context",
            32,
            "--no-repair",
            "--out",
            brief)
        .succeeds()
        .prints("of a text of 32 tokens");
    assertEquals(4, PolicyFile.read(brief).plan().windowedLayers().size());
  }

  private static CommandRun eval(Object... more) {
    return CommandRun.of(
        "eval",
        "--model",
        TINY_MODEL,
        "--policy",
        policy,
        "--text",
        text,
        "--passage-tokens",
        32,
        "--passages",
        2,
        "--no-speed",
        more);
  }
}
