package dev.kvshare.eval.tasks;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.quality.Journal;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.tasks.TaskItem.Response;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Asks items under several variants. A context is a prompt: it is read into the cache as the
 * variant computes prompts, once for all continuations behind it.
 */
public final class TaskMeter {
  /** Tokens that an answer has at most, as in lm-evaluation-harness. */
  public static final int NEW_TOKENS = 256;

  private static final int CHUNK = 512;
  private static final ObjectMapper JSON = new ObjectMapper();

  private final LoadedModel model;
  private final Decoder decoder;
  private final QualityMeter.Listener listener;
  private final Journal journal;
  private final int newTokens;

  /**
   * Measures with a model.
   *
   * @param journal keeps each response
   * @param newTokens most tokens of an answer that the model writes
   */
  public TaskMeter(
      LoadedModel model, QualityMeter.Listener listener, Journal journal, int newTokens) {
    this.model = model;
    this.decoder = model.decoder();
    this.listener = listener;
    this.journal = journal;
    this.newTokens = newTokens;
  }

  /**
   * Asks the first items.
   *
   * @param count how many, at most as many as there are
   * @return the responses by variant and item
   */
  public List<List<Response>> measure(TaskSchema.Items task, int count, List<Variant> variants) {
    List<List<Response>> responses = new ArrayList<>();
    variants.forEach(variant -> responses.add(new ArrayList<>()));
    for (int i = 0; i < count; i++) {
      listener.onProgress(task.schema().title(), i, count);
      TaskItem item = task.items().get(i);
      for (int v = 0; v < variants.size(); v++) {
        Variant variant = variants.get(v);
        String name = "%s %d, variant %d".formatted(task.sha256(), i, v);
        responses
            .get(v)
            .add(JSON.convertValue(journal.get(name, () -> ask(item, variant)), Response.class));
      }
    }
    listener.onProgress(task.schema().title(), count, count);
    return responses;
  }

  private Response ask(TaskItem item, Variant variant) {
    if (item.continuations().isEmpty()) {
      return new Response(List.of(), List.of(), write(item.contexts().get(0), variant));
    }
    List<Double> logLikelihoods = new ArrayList<>();
    List<Boolean> greedy = new ArrayList<>();
    int[] read = null;
    KvCache cache = null;
    try (NDManager scratch = decoder.newManager()) {
      NDArray last = null;
      for (int i = 0; i < item.continuations().size(); i++) {
        List<int[]> request = request(item.contexts().get(i), item.continuations().get(i));
        if (!Arrays.equals(read, request.get(0))) {
          if (cache != null) {
            cache.close();
          }
          read = request.get(0);
          cache = decoder.newCache(variant.options(), 1, read.length + request.get(1).length);
          last = decoder.prompt(PromptBatch.of(read), cache, CHUNK);
          last.attach(scratch);
        }
        cache.truncate(read.length);
        score(request.get(1), last, cache, logLikelihoods, greedy);
      }
    } finally {
      if (cache != null) {
        cache.close();
      }
    }
    return new Response(logLikelihoods, greedy, null);
  }

  /**
   * Adds the log-likelihood of tokens and whether each is the likeliest.
   *
   * @param last [1, 1, E] of the last token of the context, before the final norm
   */
  private void score(
      int[] tokens,
      NDArray last,
      KvCache cache,
      List<Double> logLikelihoods,
      List<Boolean> greedy) {
    try (NDManager scratch = decoder.newManager()) {
      NDArray hidden = last;
      if (tokens.length > 1) {
        long[] read = Arrays.stream(tokens, 0, tokens.length - 1).asLongStream().toArray();
        NDArray ids = scratch.create(read, new Shape(1, read.length));
        hidden = decoder.hidden(ids, cache);
        NDArray first = last.duplicate();
        first.attach(scratch);
        hidden = first.concat(hidden, 1);
      }
      NDArray scores = decoder.head(hidden);
      scores.attach(scratch);
      scores = scores.logSoftmax(2);
      long[] wanted = Arrays.stream(tokens).asLongStream().toArray();
      NDArray targets = scratch.create(wanted, new Shape(1, wanted.length, 1));
      double sum = 0;
      for (float value : scores.gather(targets, 2).toFloatArray()) {
        sum += value;
      }
      logLikelihoods.add(sum);
      long[] best = scores.argMax(2).toType(DataType.INT64, false).toLongArray();
      greedy.add(Arrays.equals(best, wanted));
    }
  }

  /**
   * Encodes a context together with what follows, so that the tokens at the border are those of the
   * whole text. Blanks at the end of a context belong to what follows.
   *
   * @return the token ids of the context, and of what follows
   */
  private List<int[]> request(String context, String continuation) {
    Tokenizer tokenizer = model.tokenizer();
    String before = context.stripTrailing();
    String after = context.substring(before.length()) + continuation;
    int[] first =
        before.isEmpty() ? new int[] {beginning(tokenizer)} : tokenizer.encode(before, true);
    int[] rest =
        before.isEmpty() ? tokenizer.encode(after, false) : tokenizer.encode(before + after, true);
    rest = before.isEmpty() ? rest : Arrays.copyOfRange(rest, first.length, rest.length);
    int room = decoder.spec().maxPositions() + 1 - rest.length;
    if (rest.length == 0 || room < 1) {
      throw new EvaluationException(
          "The answer \"%s\" has %d tokens, of which the model can score 1 to %d."
              .formatted(after, rest.length, decoder.spec().maxPositions()));
    }
    return List.of(end(first, room), rest);
  }

  private static int beginning(Tokenizer tokenizer) {
    return tokenizer.bosId().orElseGet(() -> tokenizer.eosIds().iterator().next());
  }

  /** The last tokens, where there are more. */
  private static int[] end(int[] ids, int most) {
    return Arrays.copyOfRange(ids, Math.max(0, ids.length - most), ids.length);
  }

  /** Writes an answer greedily, up to a stop string or an end token. */
  private String write(String context, Variant variant) {
    int room = decoder.spec().maxPositions() - newTokens;
    if (room < 1) {
      throw new EvaluationException(
          "Answers of %d tokens leave no room for a question in the %d positions of this model."
              .formatted(newTokens, decoder.spec().maxPositions()));
    }
    int[] prompt = end(model.tokenizer().encode(context, true), room);
    List<Integer> ids = new ArrayList<>();
    String text = "";
    try (DecodingCache cache =
            decoder.newCache(
                variant.options(), variant.cachePolicy(), 1, prompt.length + newTokens);
        NDManager scratch = decoder.newManager()) {
      int next = best(decoder.prefill(PromptBatch.of(prompt), cache, CHUNK));
      while (!model.endTokens().contains(next)) {
        ids.add(next);
        text = model.tokenizer().decode(ids.stream().mapToInt(id -> id).toArray(), true);
        if (ids.size() == newTokens || TaskSchema.STOPS.stream().anyMatch(text::contains)) {
          break;
        }
        try (NDArray id = scratch.create(new long[] {next})) {
          next = best(decoder.decode(id, cache));
        }
      }
    }
    for (String stop : TaskSchema.STOPS) {
      int at = text.indexOf(stop);
      text = at < 0 ? text : text.substring(0, at);
    }
    return text;
  }

  private static int best(NDArray logits) {
    try (logits;
        NDArray best = logits.argMax(1)) {
      return (int) best.toLongArray()[0];
    }
  }
}
