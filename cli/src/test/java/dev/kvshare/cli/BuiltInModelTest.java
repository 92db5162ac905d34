package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands as a new user gives them, without a model: on the built-in one and its texts. */
class BuiltInModelTest {

  @TempDir static Path folder;
  private static Path policy;

  @BeforeAll
  static void calibrateOnce() {
    policy = folder.resolve("policy.json");
    CommandRun run =
        CommandRun.of(
                "calibrate",
                "--samples",
                4,
                "--tokens",
                16,
                "--repair-tokens",
                4096,
                "--out",
                policy)
            .succeeds()
            .prints("of the KV cache is kept")
            .prints("  windows ")
            .prints("  kvsharer ")
            .prints("Repaired: KL divergence")
            .prints("Recall: nothing to compare, as the unshared model itself finds 0 of 8");
    assertTrue(run.err().contains("text parlour-calibration: 4 paragraphs"), run.err());
    assertTrue(run.err().contains("kvshare apply --policy " + policy), run.err());
  }

  private static Stream<String> words(String line) {
    return Arrays.stream(line.split(" ", 0));
  }

  @Test
  void inspectExplainsTheModelByDefault() {
    CommandRun.of("inspect")
        .succeeds()
        .prints("family       llama")
        .prints("4096 tokens, without a chat template")
        .prints("every layer with every other");
  }

  @Test
  void applyContinuesATextUntilItsEndOrAStopText() {
    String text =
        CommandRun.of("apply", "-p", policy, "--prompt", "It was a fine morning", "-n", 12)
            .succeeds()
            .out();
    List<String> words = text.strip().lines().flatMap(BuiltInModelTest::words).toList();
    assertTrue(words.size() > 4, text);
    String word = words.get(2);
    String stopped =
        CommandRun.of(
                "apply",
                "-p",
                policy,
                "--prompt",
                "It was a fine morning",
                "-n",
                12,
                "--stop",
                word)
            .succeeds()
            .out();
    assertFalse(stopped.contains(word), stopped);
    assertTrue(text.startsWith(stopped.stripTrailing()), stopped);
  }

  @Test
  void applyWithoutAPromptSaysWhatItContinues() {
    CommandRun run = CommandRun.of("apply", "-n", 2).succeeds();
    assertTrue(run.err().contains("no --prompt given"), run.err());
    assertEquals("", CommandRun.of("apply", "-n", 2, "--quiet").succeeds().err());
  }

  @Test
  void rowsOfABatchAreEachWhatTheyAreAlone() throws IOException {
    Path prompts = folder.resolve("prompts.txt");
    Files.writeString(prompts, "She had never\n\nThe ship\n");
    List<String> titles = List.of("She had never", "The ship");
    StringBuilder expected = new StringBuilder();
    for (String title : titles) {
      String alone = CommandRun.of("apply", "--prompt", title, "-n", 6).succeeds().out();
      expected.append(expected.isEmpty() ? "" : "\n").append(">>> ").append(title);
      expected.append("\n").append(alone);
    }
    String batch = CommandRun.of("apply", "--prompts", prompts, "-n", 6).succeeds().out();
    assertEquals(expected.toString(), batch);
  }

  @Test
  void aSeedFixesWhatIsSampled() {
    Object[] apply = {
      "apply", "--prompt", "The sea", "-n", 8, "--temperature", 1, "--top-k", 50, "--seed", 7
    };
    assertEquals(CommandRun.of(apply).succeeds().out(), CommandRun.of(apply).succeeds().out());
  }

  @Test
  void aModelWithoutChatTemplateCannotChat() {
    CommandRun.of("apply", "--chat", "--prompt", "hello").fails(ExitCodes.FAILED, "chat template");
  }

  @Test
  void aPolicyOfAnotherModelIsRefused() {
    CommandRun.of(
            "apply", "-m", CommandRun.TINY_MODEL, "-p", policy, "--prompt-ids", "1", "--print-ids")
        .fails(ExitCodes.FAILED, "policy.json", "12", "8");
    CommandRun.of("eval", "-m", CommandRun.TINY_MODEL, "-p", policy)
        .fails(ExitCodes.FAILED, "12 layers against 8");
    CommandRun.of("inspect", CommandRun.TINY_MODEL, "-p", policy, "--force")
        .fails(ExitCodes.FAILED, "12 layers against 8");
  }

  @Test
  void evalAsksTheItemsOfATask() {
    Path items =
        Path.of(System.getProperty("kvshare.root"), "eval/src/test/resources/tasks/piqa.jsonl");
    CommandRun run =
        CommandRun.of("eval", "-p", policy, "--task", items, "--limit", 2)
            .succeeds()
            .prints("normalised")
            .prints("piqa: piqa.jsonl, 2 items without examples")
            .prints("This is not a result");
    assertTrue(run.err().contains("only the first 2 of 5 items"), run.err());
  }

  @Test
  void evalMeasuresSpeedByContext() throws IOException {
    Path page = folder.resolve("speed.html");
    String few = "--speed-sequences=2 --speed-budget=8MiB --new-tokens=1 --rounds=1 --threads=1";
    CommandRun.of(with(few, "eval", "-p", policy, "--speed-context=32,64", "--html", page))
        .succeeds()
        .prints("in budget")
        .prints("measured at 32 and 64 tokens. Decoding one sequence: ")
        .prints("A KV budget of ")
        .prints("of the processor time of one thread");
    assertTrue(Files.readString(page).contains("Decoding 2 sequences at once"));
    CommandRun.of(with(few, "eval", "-p", policy, "--speed-context=2048"))
        .fails(ExitCodes.FAILED, "longer than the 1024 positions");
  }

  private static Object[] with(String more, Object... first) {
    return Stream.concat(Stream.of(first), Stream.of(more.split(" "))).toArray();
  }

  @Test
  void evalUsesTheBuiltInTextAndNotesThatItIsShort() {
    CommandRun run =
        CommandRun.of("eval", "-p", policy, "--passage-tokens", 64, "--passages", 2, "--no-speed")
            .succeeds()
            .prints("(unshared)")
            .prints(policy.toString());
    assertFalse(run.err().contains("warning"), run.err());
  }

  @Test
  void evalWarnsOfTextThatCalibrationHasSeen() {
    CommandRun run =
        CommandRun.of(
                "eval",
                "-p",
                policy,
                "--dataset",
                "parlour-calibration",
                "--passage-tokens",
                32,
                "--passages",
                1,
                "--no-speed",
                "--quiet")
            .succeeds();
    assertTrue(run.err().contains("kvshare: warning: 100 % of the evaluation text"), run.err());
  }

  @Test
  void aTextShorterThanASampleIsRefused() throws IOException {
    Path text = Files.writeString(folder.resolve("short.txt"), "Three short words.\n");
    Path empty = Files.writeString(folder.resolve("empty.txt"), "");
    Path out = folder.resolve("short.json");
    CommandRun.of("calibrate", "--text", text, "--out", out)
        .fails(ExitCodes.FAILED, "short.txt", "one sample needs 64");
    CommandRun.of("calibrate", "--text", empty, "--out", out)
        .fails(ExitCodes.FAILED, "empty.txt is empty");
    CommandRun.of("eval", "--text", text).fails(ExitCodes.FAILED, "short.txt", "--passage-tokens");
    assertFalse(Files.exists(out));
  }
}
