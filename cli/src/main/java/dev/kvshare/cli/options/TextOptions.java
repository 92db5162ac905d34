package dev.kvshare.cli.options;

import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import java.util.Arrays;
import java.util.List;
import picocli.CommandLine.Option;

/** Which text is read. */
public class TextOptions {

  @Option(
      names = {"-t", "--text"},
      paramLabel = "FILE",
      description =
          "A text file, a .jsonl file, or - for standard input. Paragraphs are lines, or where"
              + " there are blank lines what stands between them.")
  public String text;

  @Option(
      names = "--field",
      paramLabel = "NAME",
      description =
          "Read JSONL and take this field of each line: its text, or its array of token ids.")
  String field;

  @Option(
      names = {"-d", "--dataset"},
      paramLabel = "NAME",
      description = "A data set of 'kvshare datasets list'. Default: a built-in text.")
  public String dataset;

  /** What is wrong with the combination of options, or null. */
  public final String problem() {
    if (text != null && dataset != null) {
      return "--text and --dataset both name a text: give one of them";
    }
    return field != null && text == null
        ? "--field is a field of the JSONL file of --text, which is missing"
        : null;
  }

  /**
   * Reads the text.
   *
   * @param datasets the named texts
   * @param defaultDataset the data set to use when none was asked for
   */
  public final Corpus load(Datasets datasets, String defaultDataset) {
    if (text != null) {
      return datasets.resolve(text, field, System.in).load();
    }
    return datasets.find(dataset == null ? defaultDataset : dataset).load();
  }

  /** As {@link #load}, with several texts separated by commas. */
  public final List<Corpus> loadAll(Datasets datasets, String defaultDataset) {
    return text == null
        ? List.of(load(datasets, defaultDataset))
        : Arrays.stream(text.split(",", -1))
            .map(name -> datasets.resolve(name, field, System.in).load())
            .toList();
  }
}
