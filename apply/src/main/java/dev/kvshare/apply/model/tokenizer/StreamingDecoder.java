package dev.kvshare.apply.model.tokenizer;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.IntPredicate;

/**
 * Turns token ids into text one by one. A piece is given out as soon as it can no longer change;
 * all pieces joined are the decoding of all ids.
 *
 * <p>How a token reads depends on its neighbours (a leading space, the bytes of a character), so
 * single tokens cannot be decoded alone. The newest tokens are decoded twice, with and without the
 * last ones; the difference is the new text.
 */
public final class StreamingDecoder {
  private static final String REPLACEMENT = "\uFFFD";

  /** Tokens of a context that can matter for how the next one reads. */
  private static final int CONTEXT_TOKENS = 16;

  private final Function<int[], String> decode;
  private final IntPredicate undecided;
  private final List<Integer> ids = new ArrayList<>();

  /** First token that is decoded. */
  private int start;

  /** First token whose text has not been given out. */
  private int pendingStart;

  /** Decodes without special tokens; an {@code undecided} token depends on the following one. */
  StreamingDecoder(Function<int[], String> decode, IntPredicate undecided) {
    this.decode = decode;
    this.undecided = undecided;
  }

  /** Takes tokens as already given out; text continues behind them. */
  StreamingDecoder behind(int[] context) {
    for (int i = Math.max(0, context.length - CONTEXT_TOKENS); i < context.length; i++) {
      ids.add(context[i]);
    }
    pendingStart = ids.size();
    return this;
  }

  /** Adds a token and returns the text that became complete, often empty. */
  public String push(int id) {
    ids.add(id);
    if (undecided.test(id)) {
      return "";
    }
    String shown = decoded(pendingStart);
    String all = decoded(ids.size());
    if (all.length() <= shown.length() || all.endsWith(REPLACEMENT)) {
      return "";
    }
    start = pendingStart;
    pendingStart = ids.size();
    return all.substring(shown.length());
  }

  /** Returns the text still held back, with incomplete characters replaced; nothing follows. */
  public String finish() {
    String rest = decoded(ids.size()).substring(decoded(pendingStart).length());
    start = pendingStart;
    pendingStart = ids.size();
    return rest;
  }

  private String decoded(int end) {
    return decode.apply(ids.subList(start, end).stream().mapToInt(Integer::intValue).toArray());
  }
}
