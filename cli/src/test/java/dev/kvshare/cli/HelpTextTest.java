package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
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
  /** Lines of a terminal, about. */
  private static final int SCREEN = 46;

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
    String everyday = recorded(command, "--help", "");
    assertTrue(everyday.lines().count() <= SCREEN, "more than a screen: " + everyday);
  }

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
  void ofAllOptionsIsAsRecorded(String command) throws IOException {
    String everyday = recorded(command, "--help", "");
    String all = recorded(command, "--help-all", "-all");
    everyday
        .lines()
        .flatMap(line -> Pattern.compile("--[a-z-]+").matcher(line).results())
        .forEach(option -> assertTrue(all.contains(option.group()), option.group()));
  }

  private static String recorded(String command, String option, String suffix) throws IOException {
    List<String> words = new ArrayList<>(List.of(command.split(" ")));
    words.remove("");
    words.add(option);
    CommandRun run = CommandRun.of(words.toArray()).succeeds();
    String name = command.isEmpty() ? "kvshare" : command.replace(' ', '-');
    Path file = TEXTS.resolve(name + suffix + ".txt");
    if (Boolean.getBoolean("kvshare.updateHelp")) {
      Files.writeString(file, run.out());
    }
    assertEquals(Files.readString(file), run.out());
    assertEquals("", run.err());
    return run.out();
  }
}
