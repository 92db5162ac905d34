package dev.kvshare.apply.model.tokenizer;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.IntPredicate;

/**
 * Streaming decoder that decodes a sliding window of the newest tokens twice, with and without
 * them; the difference is the new text. How a token reads depends on its neighbours (a leading
 * space, the bytes of a character), so single tokens cannot be decoded alone.
 */
final class WindowedDecoder implements StreamingDecoder {
  private static final String REPLACEMENT = "\uFFFD";

  /** Tokens of a context that can matter for how the next one reads. */
  private static final int CONTEXT_TOKENS = 16;

  private final Function<int[], String> decode;
  private final IntPredicate undecided;
  private final List<Integer> ids = new ArrayList<>();

  /** First token of the window. */
  private int windowStart;

  /** First token whose text has not been given out. */
  private int pendingStart;

  /**
   * @param decode decodes ids without special tokens
   * @param undecided whether the text of a token depends on the following one
   */
  WindowedDecoder(Function<int[], String> decode, IntPredicate undecided) {
    this.decode = decode;
    this.undecided = undecided;
  }

  /** Takes tokens as already given out; text continues behind them. */
  WindowedDecoder behind(int[] context) {
    for (int i = Math.max(0, context.length - CONTEXT_TOKENS); i < context.length; i++) {
      ids.add(context[i]);
    }
    pendingStart = ids.size();
    return this;
  }

  @Override
  public String push(int id) {
    ids.add(id);
    if (undecided.test(id)) {
      return "";
    }
    String shown = window(pendingStart);
    String all = window(ids.size());
    if (all.length() <= shown.length() || all.endsWith(REPLACEMENT)) {
      return "";
    }
    windowStart = pendingStart;
    pendingStart = ids.size();
    return all.substring(shown.length());
  }

  @Override
  public String finish() {
    String rest = window(ids.size()).substring(window(pendingStart).length());
    windowStart = pendingStart;
    pendingStart = ids.size();
    return rest;
  }

  private String window(int end) {
    return decode.apply(
        ids.subList(windowStart, end).stream().mapToInt(Integer::intValue).toArray());
  }
}
