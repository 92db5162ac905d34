package dev.kvshare.cli.command;

import dev.kvshare.cli.options.Everyday;
import dev.kvshare.cli.print.Output;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Dataset;
import dev.kvshare.datasets.TextSource;
import dev.kvshare.eval.format.Table;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
      List<List<String>> rows = new ArrayList<>();
      rows.add(List.of("name", "origin", "licence", "description"));
      for (Dataset dataset : datasets().list()) {
        rows.add(
            List.of(
                dataset.name(),
                dataset.builtIn() ? "built in" : "imported",
                dataset.licence() == null ? "" : dataset.licence(),
                dataset.description()));
      }
      output.results().print(Table.words(rows));
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
    private static final int SAMPLES = 3;
    private static final int SAMPLE_CHARACTERS = 100;

    @Parameters(paramLabel = "NAME", descriptionKey = "NAME")
    private String name;

    @Override
    public Integer call() {
      TextSource.Named source = datasets().find(name);
      Dataset dataset = source.dataset();
      Corpus corpus = source.load();
      Corpus.Summary summary = Corpus.Summary.of(corpus);
      String unit = corpus instanceof Corpus.Text ? "words" : "tokens";
      Map<String, List<String>> facts = new LinkedHashMap<>();
      facts.put(
          "name", List.of(dataset.name() + (dataset.builtIn() ? " (built in)" : " (imported)")));
      if (!dataset.description().isEmpty()) {
        facts.put("description", List.of(dataset.description()));
      }
      if (dataset.licence() != null) {
        facts.put("licence", List.of(dataset.licence()));
      }
      facts.put("sha256", List.of(dataset.sha256()));
      facts.put(
          summary.unit(),
          List.of(
              "%d, of %d to %d %s (median %d)"
                  .formatted(
                      summary.units(),
                      summary.smallest(),
                      summary.largest(),
                      unit,
                      summary.median())));
      facts.put("together", List.of(summary.total() + " " + unit));
      facts.put("beginning", beginning(corpus));
      output().print(facts);
      return ExitCodes.DONE;
    }

    private static List<String> beginning(Corpus corpus) {
      List<String> samples =
          corpus instanceof Corpus.Text text
              ? text.paragraphs()
              : ((Corpus.Tokens) corpus).sequences().stream().map(Arrays::toString).toList();
      return samples.stream().limit(SAMPLES).map(ShowCommand::shortened).toList();
    }

    private static String shortened(String sample) {
      String line = sample.replaceAll("\\s+", " ").strip();
      return line.codePointCount(0, line.length()) <= SAMPLE_CHARACTERS
          ? line
          : line.substring(0, line.offsetByCodePoints(0, SAMPLE_CHARACTERS)) + "...";
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
