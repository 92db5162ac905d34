package dev.kvshare.apply.generate;

import dev.kvshare.apply.model.tokenizer.StreamingDecoder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/** One row of a generation: from its prompt over each new token to its completion. */
final class GenerationRow {
  private final int index;
  private final int[] prompt;
  private final Sampler sampler;
  private final StreamingDecoder decoder;
  private final StopMatcher stops;
  private final List<Integer> ids = new ArrayList<>();
  private final StringBuilder text = new StringBuilder();
  private FinishReason finishReason;

  /**
   * @param decoder null without a tokenizer
   */
  GenerationRow(
      int index, int[] prompt, Sampler sampler, StreamingDecoder decoder, StopMatcher stops) {
    this.index = index;
    this.prompt = prompt;
    this.sampler = sampler;
    this.decoder = decoder;
    this.stops = stops;
  }

  int[] prompt() {
    return prompt;
  }

  Sampler sampler() {
    return sampler;
  }

  boolean finished() {
    return finishReason != null;
  }

  int newTokens() {
    return ids.size();
  }

  int lastId() {
    return ids.get(ids.size() - 1);
  }

  /**
   * Takes the next token and tells the listener.
   *
   * @return whether the listener wants to go on
   */
  boolean accept(int id, Set<Integer> endTokens, Limits limits, TokenListener listener) {
    ids.add(id);
    String piece = decoder == null ? "" : stops.accept(decoder.push(id));
    text.append(piece);
    boolean goOn = listener.onToken(index, id, piece);
    if (endTokens.contains(id)) {
      finish(FinishReason.END_TOKEN, listener);
    } else if (stops.stopped()) {
      finish(FinishReason.STOP_STRING, listener);
    } else if (ids.size() >= limits.maxNewTokens()) {
      finish(FinishReason.MAX_NEW_TOKENS, listener);
    } else if (prompt.length + ids.size() >= limits.maxPositions()) {
      finish(FinishReason.MAX_POSITIONS, listener);
    }
    return goOn;
  }

  void finish(FinishReason reason, TokenListener listener) {
    String rest = "";
    if (decoder != null && reason != FinishReason.STOP_STRING) {
      rest = stops.accept(decoder.finish());
      rest += stops.rest();
    }
    text.append(rest);
    finishReason = stops.stopped() ? FinishReason.STOP_STRING : reason;
    listener.onFinish(index, rest, finishReason);
  }

  Completion completion() {
    return new Completion(
        Arrays.stream(prompt).boxed().toList(), ids, text.toString(), finishReason);
  }

  /**
   * Where a row ends at the latest.
   *
   * @param maxPositions tokens of prompt and continuation together
   */
  record Limits(int maxNewTokens, int maxPositions) {}
}
