package dev.kvshare.cli;

import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code kvshare datasets}: named texts for calibration and evaluation. */
@Command(
    name = "datasets",
    synopsisSubcommandLabel = "COMMAND",
    header = "List, import and look at calibration and evaluation text.",
    description = {
      "",
      "A data set is a text with a name, for --dataset. Some are built in; others are imported from"
          + " a file of yours into kvshare's folder (KVSHARE_HOME, or else .kvshare in your home"
          + " folder), so that later runs use the same bytes."
    },
    commandListHeading = "%nCommands%n",
    footerHeading = "%nExamples%n",
    footer = {
      "  kvshare datasets list",
      "  kvshare datasets import notes notes.txt",
      "  kvshare datasets show notes",
      "  kvshare calibrate --dataset notes"
    },
    subcommands = {
      DatasetsCommand.List.class,
      DatasetsCommand.Import.class,
      DatasetsCommand.Show.class,
      DatasetsCommand.Remove.class
    })
final class DatasetsCommand extends Verb {

  @Override
  public Integer call() {
    throw usageError("Missing command: list, import, show or remove");
  }

  @Command(name = "list", header = "List the data sets.")
  static final class List extends Verb {
    @Override
    public Integer call() {
      throw new UnsupportedOperationException("datasets list");
    }
  }

  @Command(name = "import", header = "Copy a text file under a name.")
  static final class Import extends Verb {
    @Parameters(paramLabel = "NAME", description = "The new name.")
    String name;

    @Parameters(paramLabel = "FILE", description = "A text file, or a .jsonl file with --field.")
    Path file;

    @Option(
        names = "--field",
        paramLabel = "FIELD",
        description = "The field of each JSONL line that holds its text.")
    String field;

    @Option(
        names = {"-f", "--force"},
        description = "Replace a data set of this name.")
    boolean force;

    @Override
    public Integer call() {
      throw new UnsupportedOperationException("datasets import " + name + file + field + force);
    }
  }

  @Command(
      name = "show",
      aliases = "inspect",
      header = "Say what a data set holds, and its first lines.")
  static final class Show extends Verb {
    @Parameters(paramLabel = "NAME", description = "A name of 'kvshare datasets list'.")
    String name;

    @Override
    public Integer call() {
      throw new UnsupportedOperationException("datasets show " + name);
    }
  }

  @Command(name = "remove", header = "Delete an imported data set.")
  static final class Remove extends Verb {
    @Parameters(paramLabel = "NAME", description = "A name of 'kvshare datasets list'.")
    String name;

    @Override
    public Integer call() {
      throw new UnsupportedOperationException("datasets remove " + name);
    }
  }
}
