package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Policies for other programs, from {@code calibrate --for} to the folder of {@code --export}. */
class ServingTargetTest {
  @TempDir Path folder;

  @Test
  void stockEnginesKeepNoFirstTokensAndComputePromptsUnderThePlan() throws IOException {
    Policy found = calibrate("stock", "--keep", "70%", "--window", 40);
    Plan plan = found.plan();
    assertTrue(plan.map().isIdentity());
    assertEquals(0, plan.windows().first());
    assertEquals(40, plan.windows().last());
    assertEquals(Prefill.PLAN, plan.prefill());
    JsonNode config = export("windows", "as exported");
    assertEquals(40, config.get("sliding_window").asInt());
    assertFalse(Files.exists(folder.resolve("windows/kvshare")));
  }

  @Test
  void vllmComputesPromptsUnderThePlan() throws IOException {
    Policy found = calibrate("vllm", "--share-layers", 3, "--method", "share");
    assertEquals(Prefill.PLAN, found.plan().prefill());
    assertNotNull(found.repair());
    JsonNode config = export("vllm", "wrote the folder");
    assertEquals("KvshareLlamaForCausalLM", config.get("architectures").get(0).asText());
    Path copy = folder.resolve("vllm/kvshare");
    assertEquals(
        config.get("kvshare_policy"),
        new ObjectMapper().readTree(copy.resolve("policy.json").toFile()));
    assertTrue(Files.exists(copy.resolve(found.repair().file())));
  }

  @Test
  void whatATargetCannotDoIsRefused() {
    refused("know windows and nothing else", "--for", "stock", "--method", "share");
    refused("--sinks", "--for", "stock", "--sinks", 2);
    refused("under the plan there", "--for", "vllm", "--prefill", "exact");
    refused("sources above them", "--for", "transformers", "--method", "lckv", "--kv-layers", 4);
    refused("--for", "--for", "tensorrt");
  }

  @Test
  void anExactPolicyWithSharingLayersIsNotExportedForVllm() {
    Path file = folder.resolve("exact.json");
    CommandRun.of(
            "calibrate",
            "--method",
            "kvsharer",
            "--share-layers",
            2,
            "--prefill",
            "exact",
            "--out",
            file)
        .succeeds();
    Path directory = folder.resolve("vllm");
    CommandRun.of("apply", "--policy", file, "--export", "vllm", "--out", directory)
        .fails(ExitCodes.FAILED, "computes prompts exactly", "--for vllm");
    assertFalse(Files.exists(directory));
  }

  private void refused(String fragment, Object... more) {
    Path file = folder.resolve("refused.json");
    CommandRun.of("calibrate", "--out", file, more).fails(ExitCodes.USAGE, fragment);
    assertFalse(Files.exists(file));
  }

  private Policy calibrate(String target, Object... more) throws IOException {
    Path file = folder.resolve("policy.json");
    CommandRun run =
        CommandRun.of("calibrate", "--for", target, "--out", file, "--no-report", more).succeeds();
    assertTrue(run.err().contains("--export"), run.err());
    return PolicyFile.read(file);
  }

  private JsonNode export(String target, String printed) throws IOException {
    Path directory = folder.resolve(target);
    CommandRun.of(
            "apply",
            "--policy",
            folder.resolve("policy.json"),
            "--export",
            target,
            "--out",
            directory)
        .succeeds()
        .prints(printed);
    return new ObjectMapper().readTree(directory.resolve("config.json").toFile());
  }
}
