package dev.kvshare.datasets;

import java.util.List;
import java.util.regex.Pattern;

/**
 * What `kvshare datasets inspect` shows of a corpus.
 *
 * @param unit {@code paragraphs} or {@code sequences}
 * @param units how many there are
 * @param smallest words of the shortest paragraph, or token ids of the shortest sequence
 * @param median the same for the middle one
 * @param largest the same for the longest one
 * @param total words, or token ids, of all together
 */
public record CorpusSummary(
    String unit, int units, int smallest, int median, int largest, long total) {
  private static final Pattern SPACE = Pattern.compile("\\s+");

  /**
   * Counts {@code corpus}.
   *
   * @throws DatasetException if there is nothing but blanks in it
   */
  public static CorpusSummary of(Corpus corpus) {
    boolean text = corpus instanceof Corpus.Text;
    List<Integer> sizes = sizes(corpus);
    if (sizes.isEmpty()) {
      throw new DatasetException(
          "The text %s holds nothing but blanks. Give a text of at least a few hundred words."
              .formatted(corpus.name()));
    }
    return new CorpusSummary(
        text ? "paragraphs" : "sequences",
        sizes.size(),
        sizes.get(0),
        sizes.get(sizes.size() / 2),
        sizes.get(sizes.size() - 1),
        sizes.stream().mapToLong(size -> size).sum());
  }

  private static List<Integer> sizes(Corpus corpus) {
    if (corpus instanceof Corpus.Tokens tokens) {
      return tokens.sequences().stream().map(ids -> ids.length).sorted().toList();
    }
    return ((Corpus.Text) corpus)
        .paragraphs().stream().map(p -> SPACE.split(p.strip()).length).sorted().toList();
  }
}
