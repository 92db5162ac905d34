package dev.kvshare.eval.quality;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CompressedCache;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.generate.ProcessMemory;
import dev.kvshare.eval.EvaluationListener;
import dev.kvshare.eval.Variant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Reads one long text through one cache and scores every token of it by what the cache holds then,
 * as the experiments of StreamingLLM do (arXiv 2309.17453, section 4.1). Tokens follow one at a
 * time, or several at once where that gives the same.
 */
public final class StreamMeter {
  /** The prompt of the text, and tokens read at once where no token is dropped for one of them. */
  private static final int CHUNK = 64;

  private final Decoder decoder;
  private final EvaluationListener listener;

  public StreamMeter(Decoder decoder, EvaluationListener listener) {
    this.decoder = decoder;
    this.listener = listener;
  }

  /**
   * Returns the stretches of {@code text}.
   *
   * @param text token ids
   * @param segmentTokens tokens of a stretch
   */
  public List<StreamSegment> measure(int[] text, Variant variant, int segmentTokens) {
    boolean oneByOne = variant.cachePolicy() != null && !variant.cachePolicy().endless();
    List<StreamSegment> segments = new ArrayList<>();
    double loss = 0;
    int scored = 0;
    int chunk = Math.min(CHUNK, segmentTokens);
    try (DecodingCache cache =
        decoder.newCache(variant.options(), variant.cachePolicy(), 1, chunk)) {
      int end;
      for (int start = 0; start < text.length; start = end) {
        int step = oneByOne && start > 0 ? 1 : chunk;
        int boundary = (start / segmentTokens + 1) * segmentTokens;
        end = Math.min(Math.min(start + step, boundary), text.length);
        int next = Math.min(end + 1, text.length);
        loss += loss(Arrays.copyOfRange(text, start, next), end - start, cache);
        scored += next - start - 1;
        if (end == boundary || end == text.length) {
          segments.add(
              new StreamSegment(
                  end, Math.exp(loss / scored), cache.bytes(), ProcessMemory.residentBytes()));
          loss = 0;
          scored = 0;
          listener.onProgress("stream", end, text.length);
        }
      }
    }
    return segments;
  }

  /**
   * Reads tokens and returns the negative log-likelihood of those behind each.
   *
   * @param ids the tokens, and the one behind them if there is one
   * @param count how many are read
   */
  private double loss(int[] ids, int count, DecodingCache cache) {
    try (NDManager scratch = decoder.newManager()) {
      long[] read = Arrays.stream(ids, 0, count).asLongStream().toArray();
      NDArray hidden = hidden(scratch.create(read, new Shape(1, count)), cache);
      int targets = ids.length - 1;
      if (targets == 0) {
        return 0;
      }
      long[] next = Arrays.stream(ids, 1, ids.length).asLongStream().toArray();
      NDArray scores = decoder.head(hidden).get(":, 0:" + targets).logSoftmax(2);
      NDArray found = scores.gather(scratch.create(next, new Shape(1, targets, 1)), 2);
      double loss = 0;
      for (float logarithm : found.toFloatArray()) {
        loss -= logarithm;
      }
      return loss;
    }
  }

  /** Returns [1, T, E] in the manager of {@code ids}. */
  private NDArray hidden(NDArray ids, DecodingCache cache) {
    if (cache instanceof CompressedCache compressed) {
      return decoder.hidden(ids, compressed);
    }
    KvCache plain = (KvCache) cache;
    NDArray hidden = decoder.layers(decoder.embed(ids, plain), plain, 0, decoder.spec().layers());
    plain.advance((int) ids.getShape().get(1));
    return hidden;
  }
}
