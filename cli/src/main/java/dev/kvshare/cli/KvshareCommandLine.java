package dev.kvshare.cli;

import dev.kvshare.cli.command.ExitCodes;
import dev.kvshare.cli.command.Interruption;
import dev.kvshare.cli.command.KvshareCommand;
import dev.kvshare.cli.print.Terminal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import picocli.CommandLine;
import picocli.CommandLine.Help;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.UnmatchedArgumentException;

/** The whole command line as picocli sees it: commands, look of the help, errors and exit codes. */
final class KvshareCommandLine {
  private static final int HELP_COLUMNS = 90;
  private static final int OPTION_COLUMNS = 27;

  /** Options of earlier releases that have another name now, behind the command that had them. */
  private static final Map<String, String> RENAMED =
      Map.of(
          "calibrate --kv-budget", "--keep",
          "calibrate -b", "--keep",
          "eval --windows", "--passages",
          "eval --window", "--passage-tokens");

  /** Other options of earlier releases, alone or behind the one command that had them. */
  private static final Map<String, String> REMOVED =
      Map.ofEntries(
          Map.entry(
              "--strategy", "It is called --method now; --method kvsharer is the paper's order."),
          Map.entry("-s", "It is called --method now; --method kvsharer is the paper's order."),
          Map.entry("--no-windows", "Use --method share."),
          Map.entry("calibrate --scheme", "Schemes are methods now: --method NAME."),
          Map.entry("--heal", "Healing was removed: it gained too little behind the repair."),
          Map.entry("--stop-early", "It was removed: all passes are run."));

  private KvshareCommandLine() {}

  /** Runs one command and returns its exit code; prints every error itself. */
  static int run(String[] args, Terminal terminal, Interruption interruption) {
    boolean color =
        terminal.outIsTerminal()
            && !Arrays.asList(args).contains("--no-color")
            && !terminal.forbidsColor();
    CommandLine commandLine = create(terminal, interruption, color);
    HelpText.install(commandLine, Arrays.asList(args).contains(HelpText.ALL));
    try {
      String[] words = ConfigFile.expand(create(terminal, interruption, color), args);
      return commandLine.execute(renamed(words, terminal));
    } catch (ParameterException e) {
      return reportUsageError(e, args);
    }
  }

  /** The words with the present names of options, and a note for each that has another. */
  private static String[] renamed(String[] args, Terminal terminal) {
    String[] words = args.clone();
    for (int i = 1; i < words.length; i++) {
      String old = words[i].replaceFirst("=.*", "");
      String name = RENAMED.get(words[0] + " " + old);
      if (name != null) {
        words[i] = name + words[i].substring(old.length());
        terminal.err().println("kvshare " + words[0] + ": " + old + " is called " + name + " now.");
      }
    }
    return words;
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
    // slf4j-simple reads these when the first logger is made, which is after this line.
    Map.of(
            "defaultLogLevel", isVerbose(parsed) ? "info" : "warn",
            "log.org.apache.parquet", "error",
            "showThreadName", "false",
            "showLogName", "false",
            "showDateTime", "true",
            "dateTimeFormat", "'kvshare:'")
        .forEach((name, value) -> System.setProperty("org.slf4j.simpleLogger." + name, value));
    ParseResult last = parsed;
    while (last.hasSubcommand()) {
      last = last.subcommand();
    }
    if (ConfigFile.isPrinted(last) && !last.isUsageHelpRequested()) {
      ConfigFile.print(last, last.commandSpec().commandLine().getOut());
      return ExitCodes.DONE;
    }
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
    if (".?!".indexOf(text.charAt(text.length() - 1)) < 0) {
      text.append('.');
    }
    if (exception instanceof UnmatchedArgumentException unmatched) {
      text.append(hint(commandLine.getCommandSpec(), unmatched.getUnmatched()));
    }
    text.append(" See ").append(name).append(" --help.");
    commandLine.getErr().println(text);
    return ExitCodes.USAGE;
  }

  /** What somebody may have meant by words that are not known; empty where nothing comes near. */
  private static String hint(CommandSpec spec, List<String> unknown) {
    String first = unknown.get(0).replaceFirst("=.*", "");
    String removed = REMOVED.getOrDefault(spec.name() + " " + first, REMOVED.get(first));
    if (removed != null) {
      return " " + removed;
    }
    List<String> names = new ArrayList<>();
    if (first.startsWith("-")) {
      spec.options().forEach(option -> names.addAll(List.of(option.names())));
    } else {
      spec.subcommands()
          .forEach(
              (name, command) -> {
                if (!command.getCommandSpec().usageMessage().hidden()) {
                  names.add(name);
                }
              });
    }
    String nearest = NearestName.of(first, names);
    return nearest == null ? "" : " Did you mean " + nearest + "?";
  }
}
