package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code eval --recall} on the built-in model, which finds nothing again and is said to. */
class RecallCommandTest {
  @TempDir Path folder;

  private Path policy() throws IOException {
    String text =
        """
        {"schema": "kvshare.policy/1", "kv_source": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
         "model": {"num_hidden_layers": 12}, "sliding_window": 64, "attention_sinks": 4,
         "windowed_layers": [2, 4, 6, 8]}
        """;
    return Files.writeString(folder.resolve("windows.json"), text);
  }

  @Test
  void aTableAJournalAndAPageAreWritten() throws IOException {
    Path json = folder.resolve("recall.json");
    Path html = folder.resolve("recall.html");
    Path journal = folder.resolve("journal");
    Object[] asked = {
      "eval",
      "--policy",
      policy(),
      "--force",
      "--recall",
      "single-key,four-keys",
      "--recall-context",
      "400,512",
      "--recall-passages",
      1,
      "--journal",
      journal
    };
    CommandRun first =
        CommandRun.of(asked, "--json", json, "--html", html)
            .succeeds()
            .prints("worst drop")
            .prints("(unshared)")
            .prints("baseline spread-low-4")
            .prints("71.1 %") // 8 layers with all 512 tokens, 4 with 68
            .prints("[0 % (0-66)]")
            .prints("single-key, four-keys at 400 tokens: says nothing");
    JsonNode run = new ObjectMapper().readTree(json.toFile());
    assertEquals("[400,512]", run.at("/run/contexts").toString());
    assertEquals("[\"single-key\",\"four-keys\"]", run.at("/run/tasks").toString());
    assertEquals(1, run.at("/run/passages").asInt());
    assertEquals(0, run.at("/run/seed").asInt());
    assertEquals(64, run.at("/run/text_sha256").asText().length());
    assertEquals(64, run.at("/run/policies/0/sha256").asText().replace("sha256:", "").length());
    assertTrue(run.at("/run/command").asText().contains("--recall-context 400,512"));
    assertTrue(Files.readString(html).contains("says nothing"));
    String answers = Files.readString(journal);
    assertEquals(first.out(), CommandRun.of(asked).succeeds().out());
    assertEquals(answers, Files.readString(journal));
  }

  @Test
  void whatCannotBeAskedIsRefused() throws IOException {
    Path little = Files.writeString(folder.resolve("little.txt"), "Only a few words.");
    CommandRun.of("eval", "--recall", "--recall-context", 2048)
        .fails(ExitCodes.FAILED, "longer than the 1024 positions", "--recall-context 1024");
    CommandRun.of("eval", "--recall", "--recall-context", 128)
        .fails(ExitCodes.FAILED, "single-key has no room in 128 tokens");
    CommandRun.of("eval", "--recall", "sentence", "--text", little, "--recall-context", 400)
        .fails(ExitCodes.FAILED, "text little.txt", "Use a longer --text");
    CommandRun.of("eval", "--recall", "needles")
        .fails(ExitCodes.USAGE, "'needles' is no recall task; there are single-key");
    CommandRun.of("eval", "--recall-passages", 2)
        .fails(ExitCodes.USAGE, "--recall-passages goes with --recall");
    CommandRun.of("eval", "--recall", "--passages", 2)
        .fails(ExitCodes.USAGE, "--passages", "--recall");
    CommandRun.of("eval", "--recall", "--recall-context", 400, "--model", CommandRun.TINY_MODEL)
        .fails(ExitCodes.FAILED, "tokenizer");
  }
}
