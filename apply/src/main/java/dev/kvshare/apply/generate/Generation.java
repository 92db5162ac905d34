package dev.kvshare.apply.generate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.generate.GenerationRequest.GenerationException;
import dev.kvshare.apply.generate.GenerationResult.Completion;
import dev.kvshare.apply.generate.GenerationResult.FinishReason;
import dev.kvshare.apply.generate.SamplingOptions.Sampler;
import dev.kvshare.apply.model.tokenizer.StreamingDecoder;
import dev.kvshare.apply.plan.KvUse;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/**
 * One run of a request: prefill of all prompts, then a decoding step a token for all rows together
 * until each has ended. Rows that ended keep their place in the batch and are ignored.
 */
final class Generation {
  private static final int PREFILL_CHUNK_TOKENS = 512;

  /** Positions allocated for new tokens at once; the cache grows when a row needs more. */
  private static final int NEW_POSITIONS = 256;

  private final Decoder decoder;
  private final CacheOptions options;
  private final List<Row> rows;
  private final Set<Integer> endTokens;
  private final Limits limits;
  private final TokenListener listener;

  Generation(
      Decoder decoder,
      CacheOptions options,
      List<Row> rows,
      Set<Integer> endTokens,
      Limits limits,
      TokenListener listener) {
    this.decoder = decoder;
    this.options = options;
    this.rows = rows;
    this.endTokens = endTokens;
    this.limits = limits;
    this.listener = listener;
  }

  /** Runs to the end of all rows; without a cache policy whatever a layer may see is kept. */
  GenerationResult run(CachePolicy cachePolicy, int bytesPerElement) {
    PromptBatch prompts = new PromptBatch(rows.stream().map(row -> row.prompt).toList());
    int capacity = prompts.longest() + Math.min(limits.maxNewTokens(), NEW_POSITIONS);
    try (DecodingCache cache = decoder.newCache(options, cachePolicy, rows.size(), capacity)) {
      long start = System.nanoTime();
      int[] next;
      try (NDArray logits = decoder.prefill(prompts, cache, PREFILL_CHUNK_TOKENS)) {
        checkFinite(logits);
        next = choose(logits);
      }
      long prefilled = System.nanoTime();
      boolean goOn = accept(next);
      while (goOn && !rows.stream().allMatch(Row::finished)) {
        goOn = !Thread.currentThread().isInterrupted() && step(cache);
      }
      long end = System.nanoTime();
      for (Row row : rows) {
        if (!row.finished()) {
          row.finish(FinishReason.STOPPED, listener);
        }
      }
      long promptTokens = rows.stream().mapToLong(row -> row.prompt.length).sum();
      long newTokens = rows.stream().mapToLong(row -> row.ids.size()).sum();
      KvUse use = decoder.spec().kvUse(options.plan());
      GenerationResult.Stats stats =
          new GenerationResult.Stats(
              promptTokens,
              newTokens,
              prefilled - start,
              end - prefilled,
              use.bytesPerToken(bytesPerElement),
              cache.bytes(),
              cache.mostBytes(),
              (promptTokens + newTokens) * use.unsharedBytes(1, bytesPerElement),
              ProcessMemory.peakResidentBytes());
      return new GenerationResult(rows.stream().map(Row::completion).toList(), stats);
    }
  }

  private boolean step(DecodingCache cache) {
    long[] ids = rows.stream().mapToLong(row -> row.ids.get(row.ids.size() - 1)).toArray();
    try (NDManager manager = decoder.newManager();
        NDArray logits = decoder.decode(manager.create(ids, new Shape(ids.length)), cache)) {
      boolean goOn = accept(choose(logits));
      listener.onStep(rows.get(0).ids.size(), cache.bytes());
      return goOn;
    }
  }

  /** The next token of each row, any for rows that ended; logits are float32 [B, V]. */
  private int[] choose(NDArray logits) {
    if (rows.stream().allMatch(row -> row.sampler.takesHighest())) {
      // Logits need not leave the device.
      try (NDArray highest = logits.argMax(1)) {
        return Arrays.stream(highest.toLongArray()).mapToInt(Math::toIntExact).toArray();
      }
    }
    int[] next = new int[rows.size()];
    float[] all = logits.toFloatArray();
    int vocabularySize = all.length / next.length;
    for (int row = 0; row < next.length; row++) {
      if (!rows.get(row).finished()) {
        int from = row * vocabularySize;
        next[row] =
            rows.get(row).sampler.choose(Arrays.copyOfRange(all, from, from + vocabularySize));
      }
    }
    return next;
  }

  private boolean accept(int[] next) {
    boolean goOn = true;
    for (int row = 0; row < next.length; row++) {
      if (!rows.get(row).finished()) {
        goOn &= rows.get(row).accept(next[row], endTokens, limits, listener);
      }
    }
    return goOn;
  }

  private void checkFinite(NDArray logits) {
    try (NDArray sums = logits.sum(new int[] {1})) {
      float[] values = sums.toFloatArray();
      for (int row = 0; row < values.length; row++) {
        if (!Float.isFinite(values[row])) {
          throw new GenerationException(
              "The model gives no finite logits for prompt %d. Its weights hold NaN or infinite values, or its numbers overflow in the chosen type: try float32, or download the model again."
                  .formatted(row));
        }
      }
    }
  }

  /** Where a row ends at the latest; positions are those of prompt and continuation. */
  record Limits(int maxNewTokens, int maxPositions) {}

  /** One row of a generation: from its prompt over each new token to its completion. */
  static final class Row {
    private final int index;
    private final int[] prompt;
    private final Sampler sampler;
    private final StreamingDecoder decoder;
    private final StopMatcher stops;
    private final List<Integer> ids = new ArrayList<>();
    private final StringBuilder text = new StringBuilder();
    private FinishReason finishReason;

    /** A row before its first token; the decoder is null without a tokenizer. */
    Row(int index, int[] prompt, Sampler sampler, StreamingDecoder decoder, StopMatcher stops) {
      this.index = index;
      this.prompt = prompt;
      this.sampler = sampler;
      this.decoder = decoder;
      this.stops = stops;
    }

    boolean finished() {
      return finishReason != null;
    }

    /** Takes the next token and tells the listener; returns whether that wants to go on. */
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
        rest = stops.accept(decoder.finish()) + stops.rest();
      }
      text.append(rest);
      finishReason = stops.stopped() ? FinishReason.STOP_STRING : reason;
      listener.onFinish(index, rest, finishReason);
    }

    Completion completion() {
      return new Completion(
          Arrays.stream(prompt).boxed().toList(), ids, text.toString(), finishReason);
    }
  }

  /**
   * Watches a row's text for stop strings. Text that could be the beginning of one is held back, so
   * that nothing of a stop string is ever given out.
   */
  static final class StopMatcher {
    private final List<String> stopStrings;
    private String held = "";
    private boolean stopped;

    StopMatcher(List<String> stopStrings) {
      this.stopStrings = stopStrings;
    }

    /** Takes the next piece and returns the text that may be given out. */
    String accept(String piece) {
      String text = held + piece;
      int stop = -1;
      for (String stopString : stopStrings) {
        int index = text.indexOf(stopString);
        if (index >= 0 && (stop < 0 || index < stop)) {
          stop = index;
        }
      }
      if (stop >= 0) {
        stopped = true;
        held = "";
        return text.substring(0, stop);
      }
      int border = text.length() - longestBeginning(text);
      held = text.substring(border);
      return text.substring(0, border);
    }

    boolean stopped() {
      return stopped;
    }

    /** Returns the text still held back. */
    String rest() {
      String rest = held;
      held = "";
      return rest;
    }

    /** Length of the longest end of the text with which a stop string begins. */
    private int longestBeginning(String text) {
      int longest = 0;
      for (String stopString : stopStrings) {
        for (int length = Math.min(text.length(), stopString.length() - 1);
            length > longest;
            length--) {
          if (stopString.startsWith(text.substring(text.length() - length))) {
            longest = length;
          }
        }
      }
      return longest;
    }
  }
}
