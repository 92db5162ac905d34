package dev.kvshare.eval.quality;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.generate.ProcessMemory;
import dev.kvshare.eval.format.Chart;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.format.Table;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.ToDoubleFunction;

/**
 * Reads one long text through one cache and scores every token of it by what the cache holds then,
 * as the experiments of StreamingLLM do (arXiv 2309.17453, section 4.1). Tokens follow one at a
 * time, or several at once where that gives the same.
 */
public final class StreamMeter {
  /** The prompt of the text, and tokens read at once where no token is dropped for one of them. */
  private static final int CHUNK = 64;

  private final Decoder decoder;
  private final QualityMeter.Listener listener;

  /**
   * A part of a long text that was read through one cache.
   *
   * @param tokens tokens of the text read when the part ended
   * @param perplexity of the part alone
   * @param kvBytes bytes of the cache as allocated then
   * @param residentBytes resident memory of the process then, where the system tells
   */
  public record Part(int tokens, double perplexity, long kvBytes, OptionalLong residentBytes) {}

  /**
   * A long text under one plan and one cache policy.
   *
   * @param variant how it was run
   * @param parts from the start of the text to its end
   */
  public record Row(Variant variant, List<Part> parts) {}

  /**
   * The outcome of reading one long text.
   *
   * @param protocol its parts; all tokens but the first are scored
   * @param rows the unshared model first, each plan with the whole cache and with each cache policy
   */
  public record Outcome(Protocol protocol, List<Row> rows) {
    /** A row a part. */
    public Report report() {
      List<List<String>> cells = new ArrayList<>();
      cells.add(List.of("policy", "cache", "tokens", "perplexity", "KV bytes", "process MiB"));
      List<ObjectNode> objects = new ArrayList<>();
      for (Row row : rows) {
        for (Part part : row.parts()) {
          cells.add(cells(row.variant(), part));
          objects.add(object(row.variant(), part));
        }
      }
      List<String> warnings = protocol.passages().notes();
      ObjectNode about = Report.newRow().set("text", protocol.object());
      return new Report(cells, objects, about, List.of(), warnings)
          .with(curve("Perplexity along the text", "perplexity of a part", Part::perplexity))
          .with(
              curve(
                  "Memory of the KV cache",
                  "KV cache, MiB",
                  p -> p.kvBytes() / (double) (1 << 20)));
    }

    private Chart curve(String title, String y, ToDoubleFunction<Part> value) {
      List<Chart.Series> series = new ArrayList<>();
      for (Row row : rows) {
        List<Chart.Point> points =
            row.parts().stream()
                .map(part -> new Chart.Point(part.tokens(), value.applyAsDouble(part), 0))
                .toList();
        series.add(new Chart.Series(row.variant().title(), points));
      }
      String note = "One text, read through one cache from its start to its end.";
      return new Chart(title, note, Chart.Kind.LINES, "tokens read", y, series);
    }

    private static List<String> cells(Variant variant, Part part) {
      return List.of(
          variant.policy() == null ? Variant.UNSHARED : variant.policy(),
          variant.cache() == null ? Variant.WHOLE_CACHE : variant.cache(),
          String.valueOf(part.tokens()),
          Table.format("%.2f", part.perplexity()),
          Table.format("%,d", part.kvBytes()),
          part.residentBytes().isPresent()
              ? Table.format("%.1f", part.residentBytes().getAsLong() / (double) (1 << 20))
              : "-");
    }

    private static ObjectNode object(Variant variant, Part part) {
      ObjectNode node = Report.newRow();
      node.put("policy", variant.policy());
      node.put("cache", variant.cache());
      node.put("tokens", part.tokens());
      Report.putNumber(node, "perplexity", part.perplexity());
      node.put("kv_bytes", part.kvBytes());
      if (part.residentBytes().isPresent()) {
        node.put("resident_bytes", part.residentBytes().getAsLong());
      } else {
        node.putNull("resident_bytes");
      }
      return node;
    }
  }

  public StreamMeter(Decoder decoder, QualityMeter.Listener listener) {
    this.decoder = decoder;
    this.listener = listener;
  }

  /**
   * Reads a text under one variant.
   *
   * @param text token ids
   * @param partTokens tokens of a part
   */
  public Row measure(int[] text, Variant variant, int partTokens) {
    boolean oneByOne = variant.cachePolicy() != null && !variant.cachePolicy().endless();
    List<Part> parts = new ArrayList<>();
    double loss = 0;
    int scored = 0;
    int chunk = Math.min(CHUNK, partTokens);
    try (DecodingCache cache =
        decoder.newCache(variant.options(), variant.cachePolicy(), 1, chunk)) {
      int end;
      for (int start = 0; start < text.length; start = end) {
        int step = oneByOne && start > 0 ? 1 : chunk;
        int boundary = (start / partTokens + 1) * partTokens;
        end = Math.min(Math.min(start + step, boundary), text.length);
        int next = Math.min(end + 1, text.length);
        loss += loss(Arrays.copyOfRange(text, start, next), end - start, cache);
        scored += next - start - 1;
        if (end == boundary || end == text.length) {
          parts.add(
              new Part(end, Math.exp(loss / scored), cache.bytes(), ProcessMemory.residentBytes()));
          loss = 0;
          scored = 0;
          listener.onProgress("stream", end, text.length);
        }
      }
    }
    return new Row(variant, parts);
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
      NDArray hidden = decoder.hidden(scratch.create(read, new Shape(1, count)), cache);
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
}
