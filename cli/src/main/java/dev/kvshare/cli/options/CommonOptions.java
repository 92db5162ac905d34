package dev.kvshare.cli.options;

import java.nio.file.Path;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;

/** The options that every command has, and the program itself. */
public final class CommonOptions {

  @ArgGroup(validate = false, order = 100, heading = "%nCommon options%n")
  private Group group = new Group();

  static final class Group {
    @Everyday
    @Option(
        names = {"-q", "--quiet"},
        description = "No progress, no notes: results, warnings and errors only.")
    boolean quiet;

    @Option(
        names = {"-v", "--verbose"},
        description = "Say more on the way, and show the stack trace of an error.")
    boolean verbose;

    @Option(
        names = "--no-color",
        description = "No colors. The environment variable NO_COLOR does the same.")
    boolean noColor;

    @Everyday
    @Option(
        names = {"-h", "--help", "--help-all"},
        usageHelp = true,
        description = "Show the everyday options, or all of them, and exit.")
    boolean help;
  }

  public boolean quiet() {
    return group.quiet;
  }

  public boolean verbose() {
    return group.verbose;
  }

  public boolean noColor() {
    return group.noColor;
  }

  /** The options that take others from a file, which every command has but the first word alone. */
  public static final class Configuration {
    @ArgGroup(validate = false, order = 99, heading = "%nOptions in a file%n")
    private Group group = new Group();

    static final class Group {
      @Everyday
      @Option(
          names = "--config",
          paramLabel = "FILE",
          description = {
            "Take options from a YAML file: 'keep: 70%%', 'force: true'.",
            "Options on the command line come before those of the file."
          })
      Path config;

      @Option(
          names = "--print-config",
          description = "Print the options as a file for --config, and exit.")
      boolean printConfig;
    }
  }
}
