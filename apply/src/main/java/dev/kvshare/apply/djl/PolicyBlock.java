package dev.kvshare.apply.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.NDScope;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.AbstractBlock;
import ai.djl.training.ParameterStore;
import ai.djl.util.PairList;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.generate.GenerationRequest;
import dev.kvshare.apply.generate.GenerationResult;
import dev.kvshare.apply.generate.PolicyModel;
import dev.kvshare.apply.generate.TokenListener;
import dev.kvshare.apply.plan.Plan;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/**
 * A model under a policy as a block. Letters: B batch, T new tokens, E hidden size, V vocabulary.
 *
 * <p>Input: ids int64 [B, T]; or ids, positions and attention mask int64 [B, tokens so far], and
 * from the second call on the past keys and values, as DJL's {@code TextGenerator} gives them.
 * Positions are those that the mask says. Output: logits float32 [B, 1, V] of the last token of a
 * prompt, else [B, T, V]; with hidden states float32 [B, T, E]; then the past.
 *
 * <p>The past is one tensor, [B, 1, tokens so far, 2], whose rows name rows of the cache. Keys and
 * values stay in the decoder's own cache, one for each predictor: so every plan runs, a step copies
 * nothing, and memory is what the plan keeps. A search may repeat, reorder and drop rows, but only
 * the past of the last call can be continued. A prompt frees the cache before it, closing the
 * predictor the last one.
 *
 * <p>Safe for use by several threads, each with its own predictor: they share the weights, and a
 * thread of the block runs their calls in turn. Being the block's own, that thread is in no {@code
 * NDScope} of a caller, which would close the tensors that a cache keeps.
 */
final class PolicyBlock extends AbstractBlock implements AutoCloseable {
  private static final int PREFILL_CHUNK_TOKENS = 512;
  private static final int NEW_POSITIONS = 256;

  /** Calls of all predictors are counted, as far as float32 counts. */
  private static final int CALLS = 1 << 24;

  private final ExecutorService worker =
      Executors.newSingleThreadExecutor(
          task -> {
            Thread thread = new Thread(task, "kvshare-decoder");
            thread.setDaemon(true);
            return thread;
          });
  final Map<NDManager, Session> sessions = new ConcurrentHashMap<>();
  final PolicyModel model;
  private final boolean hiddenStates;
  private int calls;

  /**
   * Loads the model.
   *
   * @param hiddenStates whether hidden states are given, for which a prompt runs all layers at all
   *     of its tokens
   */
  PolicyBlock(PolicyModel.Options options, boolean hiddenStates) {
    this.hiddenStates = hiddenStates;
    try {
      this.model = run(() -> PolicyModel.load(options));
    } catch (RuntimeException e) {
      worker.shutdown();
      throw e;
    }
  }

  /** Continues prompts, as one batch. */
  GenerationResult generate(GenerationRequest request) {
    return run(() -> model.generate(request, TokenListener.NONE));
  }

  @Override
  protected NDList forwardInternal(
      ParameterStore parameterStore,
      NDList inputs,
      boolean training,
      PairList<String, Object> params) {
    if (training) {
      throw new UnsupportedOperationException("A model under a policy cannot be trained.");
    }
    NDList outputs = session(parameterStore.getManager()).step(new Step(inputs));
    NDManager target = inputs.head().getManager();
    for (NDArray output : outputs) {
      output.attach(target);
      NDScope.register(output);
    }
    return outputs;
  }

  @Override
  public Shape[] getOutputShapes(Shape[] inputs) {
    Shape ids = inputs[0];
    long tokens = inputs.length > 3 ? ids.get(1) : 1;
    return new Shape[] {new Shape(ids.get(0), tokens, model.decoder().spec().vocabularySize())};
  }

  @Override
  public void close() {
    if (!worker.isShutdown()) {
      run(
          () -> {
            sessions.values().forEach(Session::forget);
            model.close();
            return null;
          });
      worker.shutdown();
    }
  }

  private Session session(NDManager predictor) {
    return sessions.computeIfAbsent(
        predictor,
        manager -> {
          Session session = new Session(manager);
          manager.attachInternal(NDManager.nextUid(), session);
          return session;
        });
  }

  private <T> T run(Supplier<T> task) {
    try {
      return CompletableFuture.supplyAsync(task, worker).join();
    } catch (RejectedExecutionException e) {
      throw new IllegalStateException("The model is closed.", e);
    } catch (CompletionException e) {
      if (e.getCause() instanceof RuntimeException cause) {
        throw cause;
      }
      throw e;
    }
  }

  /** The input of a call on the heap. */
  private static final class Step {
    private final int batch;
    private final int tokens;
    private final int columns;
    private final long[] ids;
    private final long[] mask;
    private final float[] past;

    Step(NDList inputs) {
      long[] shape = integers("ids", inputs.get(0)).getShape().getShape();
      NDArray seen = inputs.size() > 2 ? integers("attention mask", inputs.get(2)) : null;
      NDArray rows = inputs.size() > 3 ? inputs.get(3) : null;
      batch = (int) shape[0];
      tokens = (int) shape[1];
      columns = tokens + (rows == null ? 0 : (int) rows.getShape().get(2));
      Shape maskShape = new Shape(batch, columns);
      boolean fits = seen == null || seen.getShape().equals(maskShape);
      if (batch == 0 || tokens == 0 || inputs.size() > 4 || !fits) {
        throw new IllegalArgumentException(
            "The input has the shapes %s; expected ids [B, T] alone, or ids, positions, attention mask %s and, from the second call on, the past of the last call."
                .formatted(Arrays.toString(inputs.getShapes()), maskShape));
      }
      ids = inputs.get(0).toLongArray();
      mask = seen == null ? null : seen.toLongArray();
      past = rows == null ? null : first(rows, batch);
    }

    private static NDArray integers(String name, NDArray array) {
      if (array.getDataType() != DataType.INT64 || array.getShape().dimension() != 2) {
        throw new IllegalArgumentException(
            "The %s are %s %s; expected int64 [B, T]."
                .formatted(name, array.getDataType(), array.getShape()));
      }
      return array;
    }

    /** The numbers of the first token of each row; all tokens of a row have the same. */
    private static float[] first(NDArray rows, int batch) {
      if (!rows.getShape().equals(new Shape(batch, 1, rows.getShape().get(2), 2))) {
        return new float[0];
      }
      try (NDArray one = rows.get(":, 0, 0, :")) {
        return one.toFloatArray();
      }
    }

    /** The prompts without padding. */
    PromptBatch prompts() {
      int[][] rows = new int[batch][tokens];
      int[][] seen = new int[batch][tokens];
      for (int i = 0; i < batch * tokens; i++) {
        rows[i / tokens][i % tokens] = (int) ids[i];
        seen[i / tokens][i % tokens] = mask == null ? 1 : (int) mask[i];
      }
      return PromptBatch.padded(rows, seen);
    }

    /** Positions of the longest row with the new tokens. */
    long positions() {
      if (mask == null) {
        return columns;
      }
      return IntStream.range(0, batch)
          .mapToLong(row -> Arrays.stream(mask, row * columns, (row + 1) * columns).sum())
          .max()
          .orElseThrow();
    }
  }

  /** The cache of a predictor. */
  final class Session implements AutoCloseable {
    private final NDManager predictor;
    private DecodingCache cache;
    private int call;

    Session(NDManager predictor) {
      this.predictor = predictor;
    }

    NDList step(Step step) {
      return run(
          () -> {
            check(step);
            int[] rows = step.past == null ? null : rows(step.past);
            NDManager results = model.decoder().newManager();
            try {
              NDList outputs =
                  step.past == null ? prompt(step, results) : next(step, rows, results);
              outputs.forEach(NDArray::detach);
              return outputs;
            } catch (RuntimeException e) {
              forget();
              throw e;
            } finally {
              results.close();
            }
          });
    }

    @Override
    public void close() {
      sessions.remove(predictor);
      if (!worker.isShutdown()) {
        run(
            () -> {
              forget();
              return null;
            });
      }
    }

    void forget() {
      if (cache != null) {
        cache.close();
        cache = null;
      }
    }

    private void check(Step step) {
      int vocabulary = model.decoder().spec().vocabularySize();
      int positions = model.decoder().spec().maxPositions();
      for (long id : step.ids) {
        if (id < 0 || id >= vocabulary) {
          throw new IllegalArgumentException(
              "The token id %d is not one of this model: its ids go from 0 to %d."
                  .formatted(id, vocabulary - 1));
        }
      }
      if (step.positions() > positions) {
        throw new IllegalArgumentException(
            "The text has %d tokens, but the model was made for at most %d positions. Shorten the text, or set a smaller maxSeqLength."
                .formatted(step.positions(), positions));
      }
    }

    /** The rows of the cache that the rows of a past name. */
    private int[] rows(float[] past) {
      int[] rows = new int[past.length / 2];
      boolean known = rows.length > 0 && cache != null;
      for (int row = 0; row < rows.length && known; row++) {
        rows[row] = (int) past[2 * row];
        known = past[2 * row + 1] == call && rows[row] >= 0 && rows[row] < cache.batch();
      }
      if (!known) {
        throw new IllegalArgumentException(
            "The past keys and values are not those of the last call of this predictor. A predictor keeps one cache and continues its last call only; use another predictor for another text.");
      }
      return rows;
    }

    private NDList prompt(Step step, NDManager results) {
      forget();
      Decoder decoder = model.decoder();
      PromptBatch prompts = step.prompts();
      boolean padded = prompts.rows().stream().anyMatch(row -> row.length < step.tokens);
      if (hiddenStates && model.plan().prefill() == Plan.Prefill.EXACT) {
        throw new UnsupportedOperationException(
            "The policy computes prompts exactly ('prefill': 'exact'), which gives no hidden states. Leave out the argument 'hidden_states', which contrastive search needs, or use a policy with 'prefill': 'plan'.");
      }
      if (hiddenStates && padded) {
        throw new UnsupportedOperationException(
            "Hidden states, which contrastive search needs, are given of prompts of one length only, but rows have padding. Use prompts of one length, or greedy or beam search without the argument 'hidden_states'.");
      }
      int capacity = step.tokens + NEW_POSITIONS;
      cache = decoder.newCache(model.cacheOptions(), null, step.batch, capacity);
      if (hiddenStates) {
        return hidden(step, results);
      }
      try (NDArray logits = decoder.prefill(prompts, cache, PREFILL_CHUNK_TOKENS)) {
        logits.attach(results);
        return outputs(step, results, logits.reshape(step.batch, 1, -1));
      }
    }

    private NDList next(Step step, int[] rows, NDManager results) {
      if (!Arrays.equals(rows, IntStream.range(0, cache.batch()).toArray())) {
        cache.select(rows);
      }
      if (hiddenStates || step.tokens > 1) {
        return hidden(step, results);
      }
      NDArray ids = results.create(step.ids);
      NDArray logits = model.decoder().decode(ids, cache);
      return outputs(step, results, logits.reshape(step.batch, 1, -1));
    }

    private NDList hidden(Step step, NDManager results) {
      Decoder decoder = model.decoder();
      NDArray ids = results.create(step.ids, new Shape(step.batch, step.tokens));
      NDArray hidden = decoder.hidden(ids, cache);
      NDArray judged = step.past == null ? hidden.get(":, -1:") : hidden;
      NDArray logits = decoder.head(judged);
      return hiddenStates
          ? outputs(step, results, logits, decoder.finalNorm(hidden))
          : outputs(step, results, logits);
    }

    /** The given ones and the past that names the rows of the cache after this call. */
    private NDList outputs(Step step, NDManager results, NDArray... given) {
      calls = (calls + 1) % CALLS;
      call = calls;
      float[] numbers = new float[2 * step.batch];
      for (int row = 0; row < step.batch; row++) {
        numbers[2 * row] = row;
        numbers[2 * row + 1] = call;
      }
      NDArray rows = results.create(numbers, new Shape(step.batch, 1, 1, 2));
      // A view would be one of memory of Java, which is freed when these results are closed.
      NDArray past = rows.broadcast(new Shape(step.batch, 1, step.columns, 2)).duplicate();
      return new NDList(given).addAll(new NDList(past));
    }
  }
}
