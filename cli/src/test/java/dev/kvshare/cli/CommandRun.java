package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.cli.command.ExitCodes;
import dev.kvshare.cli.command.Interruption;
import dev.kvshare.cli.print.Terminal;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.Stream;

/**
 * One run of the command line inside the test, with what it wrote.
 *
 * @param exitCode the exit code
 * @param out all of standard output
 * @param err all of standard error
 */
record CommandRun(int exitCode, String out, String err) {
  private static final Path ROOT = Path.of(System.getProperty("kvshare.root"));

  /** A model of 8 layers with random weights and without a tokenizer. */
  static final Path TINY_MODEL =
      ROOT.resolve("apply/src/test/resources/goldens/reference/tiny_llama");

  /** The model that comes with kvshare. */
  static final Path BUILT_IN_MODEL = ROOT.resolve("models/builtin");

  /** Runs a command; arguments may be of any type, and an array stands for those in it. */
  static CommandRun of(Object... arguments) {
    return inEnvironment(Map.of(), arguments);
  }

  /** Runs a command with these environment variables. */
  static CommandRun inEnvironment(Map<String, String> environment, Object... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    Terminal terminal =
        new Terminal(new PrintWriter(out), new PrintWriter(err), false, false, 80, environment);
    String[] words =
        Arrays.stream(arguments)
            .flatMap(
                argument ->
                    argument instanceof Object[] some ? Stream.of(some) : Stream.of(argument))
            .map(String::valueOf)
            .toArray(String[]::new);
    int exitCode = KvshareCommandLine.run(words, terminal, Interruption.none());
    return new CommandRun(exitCode, out.toString(), err.toString());
  }

  /** Expects success. */
  CommandRun succeeds() {
    assertEquals(ExitCodes.DONE, exitCode, err);
    return this;
  }

  /** Expects an exit code and an error of one paragraph that holds all fragments. */
  CommandRun fails(int expectedCode, String... fragments) {
    assertEquals(expectedCode, exitCode, err);
    String last = err.stripTrailing();
    last = last.substring(last.lastIndexOf('\n') + 1);
    assertTrue(last.startsWith("kvshare"), err);
    for (String fragment : fragments) {
      assertTrue(last.contains(fragment), () -> "\"" + fragment + "\" is missing in: " + err);
    }
    assertFalse(err.contains("\tat "), err);
    assertFalse(err.contains("bug in kvshare"), err);
    return this;
  }

  /** Expects a fragment of standard output. */
  CommandRun prints(String fragment) {
    assertTrue(out.contains(fragment), () -> "\"" + fragment + "\" is missing in: " + out);
    return this;
  }
}
