package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Compares whole help texts, so that a change of an option is seen as its reader sees it. After a
 * wanted change, write them anew and read the difference:
 *
 * <pre>mvn -pl cli -am test -Dtest=HelpTextTest -Dsurefire.failIfNoSpecifiedTests=false
 *     -Dkvshare.updateHelp=true</pre>
 */
class HelpTextTest {
  private static final Path TEXTS =
      Path.of(System.getProperty("kvshare.root"), "cli/src/test/resources/dev/kvshare/cli/help");

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "calibrate",
        "apply",
        "eval",
        "inspect",
        "datasets",
        "datasets list",
        "datasets import",
        "datasets show",
        "datasets remove"
      })
  void isAsRecorded(String command) throws IOException {
    List<String> words = new ArrayList<>(List.of(command.split(" ")));
    words.remove("");
    words.add("--help");
    CommandRun run = CommandRun.of(words.toArray()).succeeds();
    Path file =
        TEXTS.resolve(command.isEmpty() ? "kvshare.txt" : command.replace(' ', '-') + ".txt");
    if (Boolean.getBoolean("kvshare.updateHelp")) {
      Files.writeString(file, run.out());
    }
    assertEquals(Files.readString(file), run.out());
    assertEquals("", run.err());
  }
}
