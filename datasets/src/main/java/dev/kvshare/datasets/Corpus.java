package dev.kvshare.datasets;

import java.util.List;

/** Text, or token ids, that was read as a whole. */
public sealed interface Corpus {
  /** Returns the file name or the name of the data set. */
  String name();

  /** Returns 64 hexadecimal digits over the bytes that were read. */
  String sha256();

  /**
   * Text.
   *
   * @param name the file name or the name of the data set
   * @param sha256 64 hexadecimal digits over the bytes that were read
   * @param text the running text, as it stands in the source
   * @param paragraphs its paragraphs in order, none blank
   */
  record Text(String name, String sha256, String text, List<String> paragraphs) implements Corpus {
    /** Copies the list. */
    public Text {
      paragraphs = List.copyOf(paragraphs);
    }
  }

  /**
   * Token ids, for models without a tokenizer.
   *
   * @param name the file name or the name of the data set
   * @param sha256 64 hexadecimal digits over the bytes that were read
   * @param sequences token ids in order, none empty; the arrays are shared, not copied
   */
  record Tokens(String name, String sha256, List<int[]> sequences) implements Corpus {
    /** Copies the list. */
    public Tokens {
      sequences = List.copyOf(sequences);
    }
  }
}
