package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Options from a file, and options written as one. */
class ConfigFileTest {
  @TempDir Path folder;

  private Path file(String text) throws IOException {
    return Files.writeString(folder.resolve("run.yaml"), text);
  }

  private CommandRun eval(String text, Object... more) throws IOException {
    return CommandRun.of("eval", "--config", file(text), "--print-config", more);
  }

  @Test
  void valuesAreThoseOfTheCommandLine() throws IOException {
    String text =
        """
        model: models/a:b.gguf
        dtype: bf16
        policy:
          - one.json
          - "two words.json"
        cache: h2o,snapkv
        cache-budget: 25%
        passages: 3
        no-speed: true
        force: false
        json: true
        """;
    eval(text)
        .succeeds()
        .prints("model: \"models/a:b.gguf\"\n")
        .prints("dtype: bf16\n")
        .prints("policy:\n  - one.json\n  - \"two words.json\"\n")
        .prints("cache:\n  - h2o\n  - snapkv\n")
        .prints("cache-budget: \"25%\"\n".replace("\"", ""))
        .prints("passages: 3\nno-speed: true\n")
        .prints("json: true\n")
        .prints("# passage-tokens: 512\n");
    assertFalse(eval(text).out().contains("force"));
  }

  @Test
  void theCommandLineComesFirst() throws IOException {
    String text = "passages: 3\npolicy: [a.json, b.json]\nno-speed: true\n";
    eval(text, "--passages", 5, "-p", "c.json")
        .succeeds()
        .prints("passages: 5\n")
        .prints("policy:\n  - c.json\npassages");
    CommandRun.of("eval", "-p", "c.json", "--config=" + file(text), "--print-config", "-q")
        .succeeds()
        .prints("policy:\n  - c.json\npassages: 3\n");
  }

  /** What is printed gives the same when it is read, so that it is the same run. */
  @Test
  void whatIsPrintedIsReadAgain() throws IOException {
    String first =
        CommandRun.of(
                "apply",
                "--prompt",
                "He said: \"It's\nfine\" \\ # no",
                "--prompt",
                "true",
                "--stop",
                "- ",
                "-n",
                3,
                "--stats",
                "--print-config")
            .succeeds()
            .out();
    CommandRun again = CommandRun.of("apply", "--config", file(first), "--print-config");
    assertEquals(first, again.succeeds().out());
    String target = CommandRun.of("inspect", "some model", "--print-config").succeeds().out();
    assertEquals(
        target, CommandRun.of("inspect", "--config", file(target), "--print-config").out());
  }

  @Test
  void aParameterStandsInTheFileByItsName() throws IOException {
    Path text = file("target: " + TINY_MODEL + "\nmemory: 1MiB\n");
    CommandRun.of("inspect", "--config", text).succeeds().prints("the weights do not fit");
    Path list = file("quiet: true\n");
    assertEquals("", CommandRun.of("datasets", "list", "--config", list).succeeds().err());
  }

  @Test
  void mistakesAreNamedWithTheirLine() throws IOException {
    refused("pasages: 3", "line 1", "'pasages' is no option of kvshare eval", "mean passages?");
    refused("passages: 3\npassages: 4", "line 2: 'passages' stands in line 1 already");
    refused("config: a.yaml", "'config' is no option");
    refused("help-all: true", "'help-all' is no option");
    refused("passages: [1, 2]", "'passages' takes one value, not a list");
    refused("passages:", "'passages' has no value");
    refused("no-speed: maybe", "'no-speed' is true or false, found 'maybe'");
    refused("policy: {a: b}", "the value of 'policy' must be one text or number");
    refused("- passages", "expected lines 'option: value'");
    refused("passages: \"3", "line 1 is not YAML");
    refused("passages: none", "--passages", "'none' is not a whole number");
    CommandRun.of("eval", "--config", folder.resolve("none.yaml"))
        .fails(ExitCodes.USAGE, "none.yaml", "no such file");
    CommandRun.of("datasets", "--config", file("quiet: true"), "list")
        .fails(ExitCodes.USAGE, "give it behind the command");
  }

  private void refused(String text, String... fragments) throws IOException {
    CommandRun.of("eval", "--config", file(text)).fails(ExitCodes.USAGE, fragments);
  }
}
