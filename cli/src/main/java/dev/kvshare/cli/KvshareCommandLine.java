package dev.kvshare.cli;

import dev.kvshare.cli.command.ExitCodes;
import dev.kvshare.cli.command.Interruption;
import dev.kvshare.cli.command.KvshareCommand;
import dev.kvshare.cli.print.Terminal;
import java.util.Arrays;
import picocli.CommandLine;
import picocli.CommandLine.Help;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.UnmatchedArgumentException;

/** The whole command line as picocli sees it: commands, look of the help, errors and exit codes. */
final class KvshareCommandLine {
  private static final int HELP_COLUMNS = 90;
  private static final int OPTION_COLUMNS = 27;

  private KvshareCommandLine() {}

  /** Runs one command and returns its exit code; prints every error itself. */
  static int run(String[] args, Terminal terminal, Interruption interruption) {
    boolean color =
        terminal.outIsTerminal()
            && !Arrays.asList(args).contains("--no-color")
            && !terminal.forbidsColor();
    return create(terminal, interruption, color).execute(args);
  }

  static CommandLine create(Terminal terminal, Interruption interruption, boolean color) {
    return new CommandLine(new KvshareCommand(terminal, interruption))
        .setOut(terminal.out())
        .setErr(terminal.err())
        .setColorScheme(Help.defaultColorScheme(color ? Ansi.ON : Ansi.OFF))
        .setUsageHelpWidth(HELP_COLUMNS)
        .setUsageHelpLongOptionsMaxWidth(OPTION_COLUMNS)
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setExecutionStrategy(KvshareCommandLine::execute)
        .setParameterExceptionHandler(KvshareCommandLine::reportUsageError)
        .setExecutionExceptionHandler(
            (exception, commandLine, parsed) ->
                new ErrorReport(terminal.err(), isVerbose(parsed)).print(exception));
  }

  private static int execute(ParseResult parsed) {
    // slf4j-simple reads this when the first logger is made, which is after this line.
    System.setProperty(
        "org.slf4j.simpleLogger.defaultLogLevel", isVerbose(parsed) ? "info" : "warn");
    return new RunLast().execute(parsed);
  }

  private static boolean isVerbose(ParseResult parsed) {
    return parsed.asCommandLineList().stream()
        .anyMatch(line -> line.getParseResult().hasMatchedOption("--verbose"));
  }

  private static int reportUsageError(ParameterException exception, String[] args) {
    CommandLine commandLine = exception.getCommandLine();
    String name = commandLine.getCommandSpec().qualifiedName();
    StringBuilder text = new StringBuilder(name).append(": ").append(exception.getMessage());
    if (text.charAt(text.length() - 1) != '.') {
      text.append('.');
    }
    if (exception instanceof UnmatchedArgumentException unmatched
        && !unmatched.getSuggestions().isEmpty()) {
      text.append(" Did you mean ").append(unmatched.getSuggestions().get(0)).append('?');
    }
    text.append(" See ").append(name).append(" --help.");
    commandLine.getErr().println(text);
    return ExitCodes.USAGE;
  }
}
