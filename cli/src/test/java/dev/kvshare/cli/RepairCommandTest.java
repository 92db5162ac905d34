package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance;
import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A repaired policy on the way from {@code calibrate} to its use. */
@Tag("numerics")
class RepairCommandTest {
  @TempDir static Path folder;
  private static Path searchText;
  private static Path repairText;
  private static Path policy;
  private static CommandRun calibration;

  @BeforeAll
  static void calibrateOnce() throws IOException {
    searchText = TokenFile.write(folder.resolve("search.jsonl"), 30, 64, 1);
    repairText = TokenFile.write(folder.resolve("repair.jsonl"), 60, 64, 2);
    policy = folder.resolve("repaired.json");
    calibration = calibrate("--out", policy).succeeds();
  }

  private static CommandRun calibrate(Object... more) {
    return CommandRun.of(
        "calibrate",
        "--model",
        TINY_MODEL,
        "--text",
        searchText,
        "--repair-text",
        repairText,
        "--share-layers",
        2,
        "--threshold",
        -1,
        "--threads",
        1,
        more);
  }

  @Test
  void twoRunsWriteEqualPoliciesAndWeights() throws IOException {
    Path again = Files.createDirectory(folder.resolve("again")).resolve("repaired.json");
    calibrate("--out", again).succeeds();

    assertArrayEquals(Files.readAllBytes(policy), Files.readAllBytes(again));
    String weights = PolicyFile.read(policy).repair().file();
    assertArrayEquals(
        Files.readAllBytes(policy.resolveSibling(weights)),
        Files.readAllBytes(again.resolveSibling(weights)));
  }

  @Test
  void thePolicyTellsWhatWasTried() throws IOException {
    Provenance told = PolicyFile.read(policy).calibration();
    assertEquals("search.jsonl", Path.of(told.dataset().name()).getFileName().toString());
    assertEquals("repair.jsonl", Path.of(told.repairDataset().name()).getFileName().toString());
    assertEquals(3, told.compared().size());
    assertTrue(told.compared().stream().allMatch(found -> found.reducedLayers() == 2));
    calibration.prints("Repaired");
    CommandRun.of("inspect", policy)
        .succeeds()
        .prints("kvsharer: 2 layers, after a short repair KL divergence")
        .prints("repair text  ");
    String report = Files.readString(folder.resolve("repaired.report.html"));
    assertTrue(report.contains("Search tried"));
  }

  @Test
  void evalUsesTheWeightsUnlessTheyAreRefused() throws IOException {
    List<Double> repaired = perplexities();
    List<Double> plain = perplexities("--no-repair");
    assertEquals(repaired.get(0), plain.get(0));
    assertNotEquals(repaired.get(1), plain.get(1));
  }

  /** Without its weights a policy is plain sharing. */
  @Test
  void aPolicyWithoutItsWeightsStillWorks() throws IOException {
    Path alone = Files.createDirectory(folder.resolve("alone")).resolve("repaired.json");
    Files.copy(policy, alone);
    Object[] request = {"--prompt-ids", "5,7,9,11", "--print-ids", "-n", 12};
    Object[] apply = {"apply", "--model", TINY_MODEL, "--policy"};

    String lost = CommandRun.of(apply, alone, request).succeeds().out();
    assertEquals(CommandRun.of(apply, policy, "--no-repair", request).succeeds().out(), lost);
    assertNotEquals(CommandRun.of(apply, policy, request).succeeds().out(), lost);
  }

  /** Own-token projections have no place in a checkpoint of the LCKV code. */
  @Test
  void anExportRefusesWeightsThatItCannotHold() {
    Path export = folder.resolve("exported");
    Object[] apply = {
      "apply", "--model", TINY_MODEL, "--policy", policy, "--export", "lckv", "--out", export
    };
    CommandRun.of(apply).fails(ExitCodes.FAILED, "has no place", "--no-repair");
    CommandRun.of(apply, "--no-repair").succeeds();
    CommandRun.of("inspect", export).succeeds().prints("lckv-llama");
  }

  /** A repair without own-token projections runs alike in the export. */
  @Test
  void anExportHoldsARepairWithoutThem() throws IOException {
    Path attention = folder.resolve("attention.json");
    calibrate("--repair-parts", "attention,queries", "--out", attention).succeeds();
    assertTrue(PolicyFile.read(attention).repair() != null);
    Path export = folder.resolve("exported-attention");
    Object[] apply = {"apply", "--model", TINY_MODEL, "--policy", attention};
    CommandRun.of(apply, "--export", "lckv", "--out", export).succeeds();

    Object[] request = {"--prompt-ids", "5,7,9,11", "--print-ids", "-n", 12};
    assertEquals(
        CommandRun.of(apply, request).succeeds().out(),
        CommandRun.of("apply", "--model", export, request).succeeds().out());
  }

  @Test
  void optionsOfARepairGoWithARepair() {
    calibrate("--no-repair", "--out", folder.resolve("never.json"))
        .fails(ExitCodes.USAGE, "--repair-text", "--no-repair");
    calibrate("--repair-parts", "own-token", "--out", folder.resolve("never.json"))
        .fails(ExitCodes.USAGE, "--repair-parts", "add attention");
    calibrate("--repair-parts", "all", "--out", folder.resolve("never.json"))
        .fails(ExitCodes.USAGE, "attention, own-token, queries, feed-forward");
  }

  /** The perplexity of the unshared model and of the policy. */
  private static List<Double> perplexities(Object... more) throws IOException {
    CommandRun eval =
        CommandRun.of(
            "eval",
            "--model",
            TINY_MODEL,
            "--policy",
            policy,
            "--text",
            searchText,
            "--passage-tokens",
            32,
            "--passages",
            2,
            "--no-speed",
            "--json",
            more);
    JsonNode rows = new ObjectMapper().readTree(eval.succeeds().out()).get("rows");
    return List.of(
        rows.get(0).get("perplexity").asDouble(), rows.get(1).get("perplexity").asDouble());
  }
}
