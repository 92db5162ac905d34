package dev.kvshare.cli;

import dev.kvshare.cli.command.CommandException;
import dev.kvshare.cli.command.Interruption;
import dev.kvshare.cli.print.Terminal;

/** Entry point of the process. Everything that can be tested is in {@link KvshareCommandLine}. */
public final class Main {

  private Main() {}

  /** Runs one command and ends the process with its exit code. */
  public static void main(String[] args) {
    Terminal.ResultStream results = new Terminal.ResultStream();
    Terminal terminal = Terminal.ofProcess(results);
    Interruption interruption = Interruption.watch(terminal);
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
}
