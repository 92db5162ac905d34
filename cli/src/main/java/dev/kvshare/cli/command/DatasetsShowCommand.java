package dev.kvshare.cli.command;

import dev.kvshare.cli.ExitCodes;
import dev.kvshare.cli.print.Facts;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Dataset;
import dev.kvshare.datasets.TextSource;
import java.util.Arrays;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code kvshare datasets show}. */
@Command(
    name = "show",
    aliases = "inspect",
    customSynopsis = "kvshare datasets show [OPTIONS] NAME",
    header = "Say what a data set holds, with its beginning.",
    description = "")
final class DatasetsShowCommand extends Verb {
  private static final int SAMPLES = 3;
  private static final int SAMPLE_CHARACTERS = 100;

  @Parameters(paramLabel = "NAME", description = "A name of 'kvshare datasets list'.")
  private String name;

  @Override
  public Integer call() {
    TextSource.Named source = datasets().find(name);
    Dataset dataset = source.dataset();
    Corpus corpus = source.load();
    Corpus.Summary summary = Corpus.Summary.of(corpus);
    String unit = corpus instanceof Corpus.Text ? "words" : "tokens";
    Facts facts =
        new Facts()
            .add("name", dataset.name() + (dataset.builtIn() ? " (built in)" : " (imported)"));
    if (!dataset.description().isEmpty()) {
      facts.add("description", dataset.description());
    }
    if (dataset.licence() != null) {
      facts.add("licence", dataset.licence());
    }
    facts
        .add("sha256", dataset.sha256())
        .add(
            summary.unit(),
            "%d, of %d to %d %s (median %d)"
                .formatted(
                    summary.units(), summary.smallest(), summary.largest(), unit, summary.median()))
        .add("together", summary.total() + " " + unit)
        .add("beginning", beginning(corpus))
        .print(output().results());
    return ExitCodes.DONE;
  }

  private static List<String> beginning(Corpus corpus) {
    List<String> samples =
        corpus instanceof Corpus.Text text
            ? text.paragraphs()
            : ((Corpus.Tokens) corpus).sequences().stream().map(Arrays::toString).toList();
    return samples.stream().limit(SAMPLES).map(DatasetsShowCommand::shortened).toList();
  }

  private static String shortened(String sample) {
    String line = sample.replaceAll("\\s+", " ").strip();
    return line.codePointCount(0, line.length()) <= SAMPLE_CHARACTERS
        ? line
        : line.substring(0, line.offsetByCodePoints(0, SAMPLE_CHARACTERS)) + "...";
  }
}
