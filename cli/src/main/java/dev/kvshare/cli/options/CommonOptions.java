package dev.kvshare.cli.options;

import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Option;

/** The options that every command has. */
public final class CommonOptions {

  @ArgGroup(validate = false, order = 100, heading = "%nCommon options%n")
  private Group group = new Group();

  static final class Group {
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

    @Option(
        names = {"-h", "--help"},
        usageHelp = true,
        description = "Show this help and exit.")
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
}
