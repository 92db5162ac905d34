package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DatasetsCommandTest {

  @TempDir Path folder;

  private CommandRun datasets(Object... arguments) {
    return CommandRun.inEnvironment(
        Map.of("KVSHARE_HOME", folder.toString()), "datasets", arguments);
  }

  @Test
  void aTextIsImportedShownReplacedAndRemoved() throws IOException {
    Path file = Files.writeString(folder.resolve("notes.txt"), "one two three\n\nfour five\n");
    datasets("import", "notes", file, "--description", "My notes.", "--licence", "CC0-1.0")
        .succeeds()
        .prints("imported notes, sha256 ");
    datasets("list").succeeds().prints("notes").prints("imported").prints("My notes.");
    datasets("show", "notes")
        .succeeds()
        .prints("notes (imported)")
        .prints("2, of 2 to 3 words")
        .prints("one two three");
    datasets("import", "notes", file).fails(ExitCodes.FAILED, "notes", "--force");
    datasets("import", "notes", file, "--force").succeeds();
    datasets("remove", "notes").succeeds().prints("removed notes");
    assertFalse(datasets("list").succeeds().out().contains("notes"));
    datasets("show", "notes").fails(ExitCodes.FAILED, "no data set \"notes\"");
  }

  @Test
  void theBuiltInTextsAreListedAndStay() {
    datasets("list").succeeds().prints("parlour-calibration").prints("built in");
    datasets("show", "reference-calibration").succeeds().prints("32, of");
    datasets("remove", "parlour-calibration").fails(ExitCodes.FAILED, "comes with kvshare");
  }

  @Test
  void jsonLinesNeedTheNameOfTheirField() throws IOException {
    Path file = Files.writeString(folder.resolve("ids.jsonl"), "{\"ids\": [5, 7, 9]}\n");
    datasets("import", "ids", file).fails(ExitCodes.FAILED, "--field");
    datasets("import", "ids", file, "--field", "ids").succeeds();
    datasets("show", "ids").succeeds().prints("1, of 3 to 3 tokens").prints("[5, 7, 9]");
  }
}
