package dev.kvshare.datasets;

import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * Token ids ready for a model, with an account of how they were chosen.
 *
 * @param name the file name or the name of the data set
 * @param sha256 64 hexadecimal digits over the bytes of the text
 * @param passages token ids in order, none empty; the arrays are shared, not copied
 * @param counts what was read, used and dropped
 * @param notes sentences for the user where something else than asked for was done; else empty
 */
public record Passages(
    String name, String sha256, List<int[]> passages, Counts counts, List<String> notes) {

  /** Texts up to this many characters are encoded whole. */
  private static final int SMALL_TEXT = 1 << 21;

  /** Far more characters than a token has on average, so that one prefix usually suffices. */
  private static final int CHARACTERS_PER_TOKEN = 16;

  /** Tokens before the end of a prefix that are not used, since the cut may have changed them. */
  private static final int MARGIN = 256;

  /** Units (paragraphs, passages or sequences) that were read, used, and dropped as too short. */
  public record Counts(String unit, int read, int used, int dropped) {
    static Counts allUsed(String unit, List<int[]> passages) {
      return new Counts(unit, passages.size(), passages.size(), 0);
    }
  }

  public Passages {
    passages = List.copyOf(passages);
    notes = List.copyOf(notes);
    if (passages.isEmpty()) {
      throw new IllegalArgumentException("no passages");
    }
  }

  Passages(Corpus corpus, List<int[]> passages, Counts counts, List<String> notes) {
    this(corpus.name(), corpus.sha256(), passages, counts, notes);
  }

  /** Returns the number of tokens of all passages together. */
  public long tokens() {
    return passages.stream().mapToLong(passage -> passage.length).sum();
  }

  /** Returns the highest token id, for a check against the vocabulary. */
  public int highestId() {
    return passages.stream().flatMapToInt(Arrays::stream).max().getAsInt();
  }

  /**
   * Returns a line such as {@code parlour-calibration: 30 paragraphs used of 34 read (4 too short),
   * 1920 tokens}.
   */
  public String summary() {
    String dropped = counts.dropped() == 0 ? "" : " (%d too short)".formatted(counts.dropped());
    return "%s: %d %s used of %d read%s, %d tokens"
        .formatted(name, counts.used(), counts.unit(), counts.read(), dropped, tokens());
  }

  /** Returns up to {@code most} tokens from the start of {@code corpus}. */
  static int[] first(Corpus corpus, Function<String, int[]> encoder, long most) {
    if (corpus instanceof Corpus.Tokens tokens) {
      return tokens.sequences().stream().flatMapToInt(Arrays::stream).limit(most).toArray();
    }
    String text = ((Corpus.Text) corpus).text();
    long characters = Math.max(SMALL_TEXT, most * CHARACTERS_PER_TOKEN);
    while (characters < text.length()) {
      int[] ids = encoder.apply(text.substring(0, lineEnd(text, (int) characters)));
      if (ids.length >= most + MARGIN) {
        return Arrays.copyOf(ids, (int) most);
      }
      characters *= 2;
    }
    int[] ids = encoder.apply(text);
    return Arrays.copyOf(ids, (int) Math.min(most, ids.length));
  }

  private static int lineEnd(String text, int from) {
    int end = text.indexOf('\n', from);
    return end < 0 ? text.length() : end + 1;
  }

  /** Returns the whole passages of {@code length} tokens in {@code ids}. */
  static List<int[]> cut(int[] ids, int length) {
    return IntStream.range(0, ids.length / length)
        .mapToObj(i -> Arrays.copyOfRange(ids, i * length, (i + 1) * length))
        .toList();
  }
}
