package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;

import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What goes wrong most often, as the user sees it: one paragraph, the right exit code. */
class BadInputTest {

  @TempDir Path folder;

  private Path file(String name, String content) throws IOException {
    return Files.writeString(folder.resolve(name), content);
  }

  @Test
  void aWrongPathIsNamed() {
    Path nowhere = folder.resolve("nowhere");
    CommandRun.of("inspect", nowhere).fails(ExitCodes.FAILED, nowhere.toString(), "no such file");
    CommandRun.of("calibrate", "-m", nowhere, "--out", folder.resolve("p.json"))
        .fails(ExitCodes.FAILED, nowhere.toString());
    CommandRun.of("apply", "-m", TINY_MODEL, "-p", nowhere, "--prompt-ids", "1")
        .fails(ExitCodes.FAILED, nowhere.toString(), "kvshare calibrate");
    CommandRun.of("apply", "-m", TINY_MODEL, "--prompts", nowhere)
        .fails(ExitCodes.FAILED, nowhere.toString(), "does not exist");
    CommandRun.of("eval", "-m", TINY_MODEL, "--text", nowhere)
        .fails(ExitCodes.FAILED, nowhere.toString(), "no text file");
    CommandRun.of("inspect", TINY_MODEL, "--check", nowhere)
        .fails(ExitCodes.FAILED, nowhere.toString());
  }

  @Test
  void aMissingTokenizerIsSaidWithAWayOut() throws IOException {
    Path text = file("text.txt", "some words for a model that cannot read them\n");
    CommandRun.of("apply", "-m", TINY_MODEL, "--prompt", "hello")
        .fails(ExitCodes.FAILED, "tokenizer", "token ids");
    CommandRun.of("calibrate", "-m", TINY_MODEL, "--text", text, "--out", folder.resolve("p.json"))
        .fails(ExitCodes.FAILED, "tokenizer", "token ids");
    CommandRun.of("eval", "-m", TINY_MODEL, "--text", text)
        .fails(ExitCodes.FAILED, "tokenizer", "token ids");
  }

  @Test
  void anEmptyTextIsRefused() throws IOException {
    Path empty = file("empty.jsonl", "");
    CommandRun.of("eval", "-m", TINY_MODEL, "--text", empty, "--field", "ids")
        .fails(ExitCodes.FAILED, "empty.jsonl is empty");
    Path blank = file("prompts.txt", "\n\n");
    CommandRun.of("apply", "-m", TINY_MODEL, "--prompts", blank)
        .fails(ExitCodes.FAILED, blank.toString(), "one prompt a line");
  }

  @Test
  void tokensOutsideTheVocabularyAreRefused() throws IOException {
    Path ids = file("ids.jsonl", "{\"ids\": [1, 2, 3, 4, 99999, 6]}\n");
    CommandRun.of("eval", "-m", TINY_MODEL, "--text", ids, "--field", "ids", "--passage-tokens", 6)
        .fails(ExitCodes.FAILED, "99999");
    CommandRun.of(
            "calibrate",
            "-m",
            TINY_MODEL,
            "--text",
            ids,
            "--field",
            "ids",
            "--out",
            folder.resolve("p.json"))
        .fails(ExitCodes.USAGE, "99999");
  }

  @Test
  void anUnwritableOutputIsFoundBeforeTheWork() throws IOException {
    Path missing = folder.resolve("missing/p.json");
    CommandRun.of("calibrate", "-m", TINY_MODEL, "--out", missing)
        .fails(ExitCodes.FAILED, missing.toString(), "does not exist");
    CommandRun.of("calibrate", "-m", TINY_MODEL, "--out", folder, "--force")
        .fails(ExitCodes.FAILED, folder.toString(), "directory");
    CommandRun.of("eval", "-m", TINY_MODEL, "--output", missing)
        .fails(ExitCodes.FAILED, missing.toString());
  }

  @Test
  void filesThatAreNotPoliciesAreRefused() throws IOException {
    Path notJson = file("policy.json", "{ \"schema\": ");
    CommandRun.of("inspect", notJson).fails(ExitCodes.FAILED, notJson.toString());
    Path newer = file("newer.json", "{\"schema\": \"kvshare.policy/9\", \"kv_source\": [0]}");
    CommandRun.of("apply", "-m", TINY_MODEL, "-p", newer, "--prompt-ids", "1")
        .fails(ExitCodes.FAILED, newer.toString(), "kvshare.policy/");
    Path text = file("notes.txt", "just words\n");
    CommandRun.of("inspect", text).fails(ExitCodes.FAILED, text.toString());
  }

  @Test
  void anUnknownDataSetIsRefusedWithTheOnesThatExist() {
    CommandRun.of("datasets", "show", "no-such-text")
        .fails(ExitCodes.FAILED, "no-such-text", "There are:", "kvshare datasets import");
  }
}
