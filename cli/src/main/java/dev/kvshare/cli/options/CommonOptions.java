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
    @Option(names = {"-q", "--quiet"})
    boolean quiet;

    @Option(names = {"-v", "--verbose"})
    boolean verbose;

    @Option(names = "--no-color")
    boolean noColor;

    @Everyday
    @Option(
        names = {"-h", "--help", "--help-all"},
        usageHelp = true)
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
    FileOptions file = new FileOptions();

    static final class FileOptions {
      @Everyday
      @Option(names = "--config", paramLabel = "FILE")
      Path config;

      @Option(names = "--print-config")
      boolean printConfig;
    }
  }
}
