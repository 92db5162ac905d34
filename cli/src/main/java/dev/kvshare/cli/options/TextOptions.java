package dev.kvshare.cli.options;

import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/** Which text is read. */
public class TextOptions {

  @Everyday
  @Option(
      names = {"-t", "--text"},
      paramLabel = "FILE")
  public List<String> texts = new ArrayList<>();

  @Option(names = "--field", paramLabel = "NAME")
  String field;

  @Everyday
  @Option(
      names = {"-d", "--dataset"},
      paramLabel = "NAME")
  public String dataset;

  /**
   * What is wrong with the combination of options, or null.
   *
   * @param several whether more than one text is understood
   */
  public final String problem(boolean several) {
    if (!texts.isEmpty() && dataset != null) {
      return "--text and --dataset both name a text: give one of them";
    }
    if (texts.size() > 1 && !several) {
      return "--text is given " + texts.size() + " times: give one text";
    }
    return field != null && texts.isEmpty()
        ? "--field is a field of the file of --text, which is missing"
        : null;
  }

  /**
   * Reads the text.
   *
   * @param datasets the named texts
   * @param defaultDataset the data set to use when none was asked for
   */
  public final Corpus load(Datasets datasets, String defaultDataset) {
    return loadAll(datasets, defaultDataset).get(0);
  }

  /** As {@link #load}, all texts that were given. */
  public final List<Corpus> loadAll(Datasets datasets, String defaultDataset) {
    return texts.isEmpty()
        ? List.of(datasets.find(dataset == null ? defaultDataset : dataset).load())
        : texts.stream().map(name -> datasets.resolve(name, field, System.in).load()).toList();
  }
}
