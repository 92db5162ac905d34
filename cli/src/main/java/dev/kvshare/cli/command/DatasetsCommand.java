package dev.kvshare.cli.command;

import picocli.CommandLine.Command;

/** {@code kvshare datasets}: named texts for calibration and evaluation. */
@Command(
    name = "datasets",
    synopsisSubcommandLabel = "COMMAND",
    customSynopsis = "kvshare datasets COMMAND",
    header = "List, import and look at calibration and evaluation text.",
    description = {
      "",
      "A data set is a text with a name, for --dataset. Some are built in; others are copied from a"
          + " file of yours into kvshare's folder (datasets in KVSHARE_HOME, or else in"
          + " ~/.cache/kvshare), so that later runs use the same bytes."
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
      DatasetsListCommand.class,
      DatasetsImportCommand.class,
      DatasetsShowCommand.class,
      DatasetsRemoveCommand.class
    })
final class DatasetsCommand extends Verb {

  @Override
  public Integer call() {
    throw usageError("Name a command: list, import, show or remove");
  }
}
