package dev.kvshare.cli.command;

import dev.kvshare.cli.ExitCodes;
import dev.kvshare.cli.print.Output;
import dev.kvshare.datasets.Dataset;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code kvshare datasets import}. */
@Command(
    name = "import",
    sortOptions = false,
    customSynopsis = "kvshare datasets import [OPTIONS] NAME FILE",
    header = "Copy a text file under a name.",
    description = "")
final class DatasetsImportCommand extends Verb {

  @Parameters(index = "0", paramLabel = "NAME", description = "The new name.")
  private String name;

  @Parameters(
      index = "1",
      paramLabel = "FILE",
      description = "A text file in UTF-8, or a .jsonl file with --field.")
  private Path file;

  @Option(
      names = "--field",
      paramLabel = "FIELD",
      description =
          "The field of each JSONL line that holds its text, or its token ids as an array.")
  private String field;

  @Option(
      names = "--description",
      paramLabel = "TEXT",
      description = "A sentence for 'kvshare datasets list'.")
  private String description = "";

  @Option(names = "--licence", paramLabel = "TEXT", description = "The licence of the text.")
  private String licence;

  @Option(
      names = {"-f", "--force"},
      description = "Replace an imported data set of this name.")
  private boolean replace;

  @Override
  public Integer call() {
    Dataset dataset =
        datasets().importText(new Dataset.Import(name, file, field, description, licence, replace));
    Output output = output();
    output.results().println("imported " + dataset.name() + ", sha256 " + dataset.sha256());
    output.note("next: kvshare calibrate --dataset " + dataset.name());
    return ExitCodes.DONE;
  }
}
