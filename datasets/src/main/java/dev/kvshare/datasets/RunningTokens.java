package dev.kvshare.datasets;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Cuts the running text of a corpus into consecutive windows of equal length, without overlap. */
final class RunningTokens {
  /** Texts up to this many characters are encoded whole. */
  private static final int SMALL_TEXT = 1 << 21;

  /** Far more characters than a token has on average, so that one prefix usually suffices. */
  private static final int CHARACTERS_PER_TOKEN = 16;

  /** Tokens before the end of a prefix that are not used, since the cut may have changed them. */
  private static final int MARGIN = 256;

  private RunningTokens() {}

  /** Returns up to {@code most} tokens from the start of {@code corpus}. */
  static int[] first(Corpus corpus, TextEncoder encoder, long most) {
    if (corpus instanceof Corpus.Tokens tokens) {
      return tokens.sequences().stream().flatMapToInt(Arrays::stream).limit(most).toArray();
    }
    String text = ((Corpus.Text) corpus).text();
    long characters = Math.max(SMALL_TEXT, most * CHARACTERS_PER_TOKEN);
    while (characters < text.length()) {
      int[] ids = encoder.encode(text.substring(0, lineEnd(text, (int) characters)));
      if (ids.length >= most + MARGIN) {
        return Arrays.copyOf(ids, (int) most);
      }
      characters *= 2;
    }
    int[] ids = encoder.encode(text);
    return Arrays.copyOf(ids, (int) Math.min(most, ids.length));
  }

  private static int lineEnd(String text, int from) {
    int end = text.indexOf('\n', from);
    return end < 0 ? text.length() : end + 1;
  }

  /** Returns the whole windows of {@code length} tokens in {@code ids}. */
  static List<int[]> windows(int[] ids, int length) {
    List<int[]> windows = new ArrayList<>();
    for (int start = 0; start + length <= ids.length; start += length) {
      windows.add(Arrays.copyOfRange(ids, start, start + length));
    }
    return windows;
  }
}
