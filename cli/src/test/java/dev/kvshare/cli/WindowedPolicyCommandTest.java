package dev.kvshare.cli;

import static java.util.stream.Collectors.joining;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Policies whose layers keep first and last tokens only, from the command line. */
class WindowedPolicyCommandTest {
  private static final Path TINY_MODEL = CommandRun.TINY_MODEL;

  @TempDir Path folder;

  private Path policy(String windows) throws IOException {
    String text =
        """
        {"schema": "kvshare.policy/1", "kv_source": [0, 1, 2, 0, 4, 5, 6, 7],
         "model": {"num_hidden_layers": 8, "num_key_value_heads": 2, "head_dim": 16}, %s}
        """;
    return Files.writeString(folder.resolve("windows.json"), text.formatted(windows));
  }

  @Test
  void inspectSaysWhatIsKept() throws IOException {
    Path policy =
        policy("\"sliding_window\": 64, \"attention_sinks\": 4, \"windowed_layers\": [1, 3, 5, 6]");
    CommandRun.of("inspect", policy)
        .succeeds()
        .prints("● ◐ ● ○ ● ◐ ◐ ●")
        .prints("◐ keeps its own of the first 4 and last 64 tokens")
        .prints("layer 3 sees the first 4 and last 64 tokens, the current one included")
        .prints("layers 1, 5-6 keep their first 4 and last 64 tokens, the current one included")
        .prints(
            "4 of 8 layers keep one of the whole text (50.0 %): 512 bytes a further token instead of 1.0 KiB")
        .prints("of 1,024 tokens 52.5 % stay: 537.5 KiB instead of 1.0 MiB")
        .prints("of 8,192 tokens 50.3 % stay: 4.0 MiB instead of 8.0 MiB");
  }

  /** Earlier releases wrote savings that leave the windows out. */
  @Test
  void inspectCountsWindowsWhateverThePolicySays() throws IOException {
    String windows = "\"sliding_window\": 64, \"windowed_layers\": [1, 3, 5, 6]";
    String now = CommandRun.of("inspect", policy(windows)).succeeds().out();
    String savings = "\"savings\": {\"kv_layers\": 7, \"kv_fraction\": 0.875}";
    assertEquals(now, CommandRun.of("inspect", policy(windows + ", " + savings)).succeeds().out());
  }

  @Test
  void inspectOfWindowsOnAllLayers() throws IOException {
    Path policy = policy("\"sliding_window\": 64, \"windowed_layers\": [0, 1, 2, 3, 4, 5, 6, 7]");
    CommandRun.of("inspect", policy)
        .succeeds()
        .prints(
            "0 of 8 layers keep one of the whole text (0.0 %): 0 bytes a further token instead of 1.0 KiB")
        .prints("of 1,024 tokens 5.5 % stay: 56.0 KiB instead of 1.0 MiB");
  }

  @Test
  void windowsWithoutSinksAreDescribedAsBefore() throws IOException {
    CommandRun run =
        CommandRun.of("inspect", policy("\"sliding_window\": 64, \"windowed_layers\": [3]"))
            .succeeds()
            .prints("layer 3: 64 tokens, the current one included")
            .prints("● ● ● ○ ● ● ● ●");
    assertFalse(run.out().contains("◐"), run.out());
    assertFalse(run.out().contains("stay"), run.out());
  }

  @Test
  void promptsAreComputedAsPolicyAndOptionsSay() throws IOException {
    Path ids = folder.resolve("ids.jsonl");
    String numbers = IntStream.range(3, 131).mapToObj(String::valueOf).collect(joining(","));
    Files.writeString(ids, "{\"input_ids\":[" + numbers + "]}\n");
    Path policy = folder.resolve("exact.json");
    CommandRun.of(
            "calibrate",
            "--model",
            TINY_MODEL,
            "--text",
            ids,
            "--method",
            "kvsharer",
            "--share-layers",
            2,
            "--threshold",
            -1,
            "--prefill",
            "exact",
            "--no-report",
            "--out",
            policy)
        .succeeds();
    assertTrue(Files.readString(policy).contains("\"prefill\": \"exact\""));
    CommandRun.of("inspect", policy).succeeds().prints("exact: as the unshared model computes it");
    String[] texts = new String[3];
    for (int way = 0; way < 3; way++) {
      List<Object> words =
          new ArrayList<>(List.of("apply", "--model", TINY_MODEL, "--policy", policy, "-n", 8));
      words.addAll(List.of("--prompt-ids", "5,9,7,30,41,5,77", "--print-ids", "--ignore-eos"));
      words.addAll(way == 0 ? List.of() : List.of("--prefill", way == 1 ? "exact" : "plan"));
      texts[way] = CommandRun.of(words.toArray()).succeeds().out();
    }
    assertEquals(texts[0], texts[1]);
    assertNotEquals(texts[0], texts[2]);
  }

  @Test
  void exportToTheLckvCodeIsRefused() throws IOException {
    Path policy =
        policy("\"sliding_window\": 64, \"attention_sinks\": 4, \"windowed_layers\": [1]");
    Path export = folder.resolve("export");
    CommandRun.of(
            "apply", "--model", TINY_MODEL, "--policy", policy, "--export", "lckv", "--out", export)
        .fails(ExitCodes.FAILED, "the first 4 tokens", "without attention sinks");
    assertFalse(Files.exists(export));
  }
}
