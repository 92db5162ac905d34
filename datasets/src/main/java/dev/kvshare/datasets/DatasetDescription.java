package dev.kvshare.datasets;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A named text in words: where it is from, how large it is, and how it begins. */
public final class DatasetDescription {
  private static final int SAMPLES = 3;
  private static final int SAMPLE_CHARACTERS = 100;

  private DatasetDescription() {}

  /** Reads the text; lines under names, in the order to print them. */
  public static Map<String, List<String>> of(TextSource.Named source) {
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
    return facts;
  }

  /** A table of data sets, a row each, its head first. */
  public static List<List<String>> table(List<Dataset> datasets) {
    List<List<String>> rows = new ArrayList<>();
    rows.add(List.of("name", "origin", "licence", "description"));
    for (Dataset dataset : datasets) {
      rows.add(
          List.of(
              dataset.name(),
              dataset.builtIn() ? "built in" : "imported",
              dataset.licence() == null ? "" : dataset.licence(),
              dataset.description()));
    }
    return rows;
  }

  private static List<String> beginning(Corpus corpus) {
    List<String> samples =
        corpus instanceof Corpus.Text text
            ? text.paragraphs()
            : ((Corpus.Tokens) corpus).sequences().stream().map(Arrays::toString).toList();
    return samples.stream().limit(SAMPLES).map(DatasetDescription::shortened).toList();
  }

  private static String shortened(String sample) {
    String line = sample.replaceAll("\\s+", " ").strip();
    return line.codePointCount(0, line.length()) <= SAMPLE_CHARACTERS
        ? line
        : line.substring(0, line.offsetByCodePoints(0, SAMPLE_CHARACTERS)) + "...";
  }
}
