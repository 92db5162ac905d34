package dev.kvshare.cli;

import dev.kvshare.cli.command.Interruption;
import dev.kvshare.cli.print.LostResultsException;
import dev.kvshare.cli.print.ResultStream;
import dev.kvshare.cli.print.Terminal;

/** Entry point of the process. Everything that can be tested is in {@link KvshareCommandLine}. */
public final class Main {

  private Main() {}

  /** Runs one command and ends the process with its exit code. */
  public static void main(String[] args) {
    ResultStream results = new ResultStream();
    Terminal terminal = Terminal.ofProcess(results);
    Interruption interruption = Interruption.watch(terminal);
    int exitCode = KvshareCommandLine.run(args, terminal, interruption);
    terminal.out().flush();
    if (results.lost() != null) {
      exitCode =
          new ErrorReport(terminal.err(), false)
              .print(new LostResultsException(results.lost().getMessage()));
    }
    terminal.err().flush();
    interruption.commandEnded();
    System.exit(exitCode);
  }
}
