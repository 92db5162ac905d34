package dev.kvshare.cli;

import dev.kvshare.cli.command.CommandException;
import dev.kvshare.cli.command.ExitCodes;
import dev.kvshare.cli.command.Interruption;
import dev.kvshare.cli.print.Terminal;
import java.util.Arrays;

/** Entry point of the process. Everything that can be tested is in {@link KvshareCommandLine}. */
public final class Main {

  private Main() {}

  /** Runs one command and ends the process with its exit code. */
  public static void main(String[] args) {
    Terminal.ResultStream results = new Terminal.ResultStream();
    Terminal terminal = Terminal.ofProcess(results);
    Interruption interruption = Interruption.watch(terminal);
    if (isGarbled(args, System.getProperty("sun.jnu.encoding"))) {
      terminal
          .err()
          .println(
              "kvshare: the words of the command line hold characters that this locale cannot carry. Set a UTF-8 locale that is installed, such as LC_ALL=C.UTF-8, or start kvshare by its launcher, which does.");
      terminal.err().flush();
      System.exit(ExitCodes.USAGE);
    }
    int exitCode = KvshareCommandLine.run(args, terminal, interruption);
    terminal.out().flush();
    if (results.lost() != null) {
      exitCode =
          new ErrorReport(terminal.err(), false)
              .print(
                  new CommandException(
                      "standard output could not be written (%s), so results are missing. Free some space and run the command again."
                          .formatted(results.lost().getMessage())));
    }
    terminal.err().flush();
    interruption.commandEnded();
    System.exit(exitCode);
  }

  /** Java puts U+FFFD where it could not decode an argument. */
  static boolean isGarbled(String[] args, String encoding) {
    return !"UTF-8".equalsIgnoreCase(encoding)
        && Arrays.stream(args).anyMatch(word -> word.indexOf('\uFFFD') >= 0);
  }
}
