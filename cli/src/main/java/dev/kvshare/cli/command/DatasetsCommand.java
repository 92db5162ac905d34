package dev.kvshare.cli.command;

import dev.kvshare.cli.options.Everyday;
import dev.kvshare.cli.print.Output;
import dev.kvshare.datasets.Dataset;
import dev.kvshare.datasets.DatasetDescription;
import dev.kvshare.eval.format.Table;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code kvshare datasets}: named texts for calibration and evaluation. */
@Command(
    name = "datasets",
    synopsisSubcommandLabel = "COMMAND",
    customSynopsis = "kvshare datasets COMMAND",
    commandListHeading = "%nCommands%n",
    footerHeading = "%nExamples%n",
    subcommands = {
      DatasetsCommand.ListCommand.class,
      DatasetsCommand.ImportCommand.class,
      DatasetsCommand.ShowCommand.class,
      DatasetsCommand.RemoveCommand.class
    })
final class DatasetsCommand extends BaseCommand {

  @Override
  public Integer call() {
    throw usageError("Name a command: list, import, show or remove");
  }

  /** {@code kvshare datasets list}. */
  @Command(name = "list", customSynopsis = "kvshare datasets list [OPTIONS]")
  static final class ListCommand extends BaseCommand {

    @Override
    public Integer call() {
      Output output = output();
      output.results().print(Table.words(DatasetDescription.table(datasets().list())));
      output.results().flush();
      output.note("");
      output.note(
          "use one:  kvshare calibrate --dataset NAME       add one:  kvshare datasets import NAME FILE");
      return ExitCodes.DONE;
    }
  }

  /** {@code kvshare datasets import}. */
  @Command(
      name = "import",
      sortOptions = false,
      customSynopsis = "kvshare datasets import [OPTIONS] NAME FILE")
  static final class ImportCommand extends BaseCommand {

    @Parameters(index = "0", paramLabel = "NAME", descriptionKey = "NAME")
    private String name;

    @Parameters(index = "1", paramLabel = "FILE", descriptionKey = "FILE")
    private Path file;

    @Everyday
    @Option(names = "--field", paramLabel = "FIELD")
    private String field;

    @Everyday
    @Option(names = "--description", paramLabel = "TEXT")
    private String description = "";

    @Everyday
    @Option(names = "--licence", paramLabel = "TEXT")
    private String licence;

    @Everyday
    @Option(names = {"-f", "--force"})
    private boolean replace;

    @Override
    public Integer call() {
      Dataset dataset =
          datasets()
              .importText(new Dataset.Import(name, file, field, description, licence, replace));
      Output output = output();
      output.results().println("imported " + dataset.name() + ", sha256 " + dataset.sha256());
      output.note("next: kvshare calibrate --dataset " + dataset.name());
      return ExitCodes.DONE;
    }
  }

  /** {@code kvshare datasets show}. */
  @Command(
      name = "show",
      aliases = "inspect",
      customSynopsis = "kvshare datasets show [OPTIONS] NAME")
  static final class ShowCommand extends BaseCommand {
    @Parameters(paramLabel = "NAME", descriptionKey = "NAME")
    private String name;

    @Override
    public Integer call() {
      output().print(DatasetDescription.of(datasets().find(name)));
      return ExitCodes.DONE;
    }
  }

  /** {@code kvshare datasets remove}. */
  @Command(name = "remove", customSynopsis = "kvshare datasets remove [OPTIONS] NAME")
  static final class RemoveCommand extends BaseCommand {

    @Parameters(paramLabel = "NAME", descriptionKey = "NAME")
    private String name;

    @Override
    public Integer call() {
      datasets().remove(name);
      output().results().println("removed " + name);
      return ExitCodes.DONE;
    }
  }
}
