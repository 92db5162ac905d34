package dev.kvshare.datasets;

import java.util.List;
import java.util.regex.Pattern;

/** Text, or token ids, that was read as a whole. */
public sealed interface Corpus {
  /** Returns the file name or the name of the data set. */
  String name();

  /** Returns 64 hexadecimal digits over the bytes that were read. */
  String sha256();

  /**
   * Text.
   *
   * @param text the running text, as it stands in the source
   * @param paragraphs its paragraphs in order, none blank
   */
  record Text(String name, String sha256, String text, List<String> paragraphs) implements Corpus {
    public Text {
      paragraphs = List.copyOf(paragraphs);
    }
  }

  /**
   * Token ids, for models without a tokenizer.
   *
   * @param sequences token ids in order, none empty; the arrays are shared, not copied
   */
  record Tokens(String name, String sha256, List<int[]> sequences) implements Corpus {
    public Tokens {
      sequences = List.copyOf(sequences);
    }
  }

  /**
   * The size of a corpus in words or token ids.
   *
   * @param unit {@code paragraphs} or {@code sequences}
   * @param units how many there are
   * @param smallest words of the shortest paragraph, or token ids of the shortest sequence
   * @param median the same for the middle one
   * @param largest the same for the longest one
   * @param total words, or token ids, of all together
   */
  record Summary(String unit, int units, int smallest, int median, int largest, long total) {
    private static final Pattern SPACE = Pattern.compile("\\s+");

    /** Counts {@code corpus}, which must not be blank. */
    public static Summary of(Corpus corpus) {
      boolean text = corpus instanceof Corpus.Text;
      List<Integer> sizes = sizes(corpus);
      if (sizes.isEmpty()) {
        throw new DatasetException(
            "The text %s holds nothing but blanks. Give a text of at least a few hundred words."
                .formatted(corpus.name()));
      }
      return new Summary(
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
}
