package dev.kvshare.eval.check;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.eval.check.CheckResult.GreedyDifference;
import dev.kvshare.eval.check.CheckResult.TensorDifference;
import dev.kvshare.eval.quality.EvaluationException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalLong;
import java.util.Set;
import java.util.stream.LongStream;

/**
 * Compares what a model computes with outputs that another implementation stored: logits and, where
 * present, {@value #LAST_HIDDEN} (behind the final norm) and {@value #GREEDY} (the greedy
 * continuation of the first sequence). A tensor may cover all sequences and positions [B, T, W],
 * one sequence [T, W] or its last position [W], where W is the vocabulary or the hidden size.
 */
public final class CheckpointCheck {
  private static final String LAST_HIDDEN = "last_hidden";
  private static final String INPUT_IDS = "input_ids";
  private static final String GREEDY = "greedy";
  private static final int PREFILL_CHUNK = 512;
  private static final long LOGIT_BYTES = 64L << 20;

  private final Decoder decoder;
  private final Set<Integer> endTokens;
  private final long logitBytes;

  /**
   * What to compare with stored outputs.
   *
   * @param file a safetensors file with {@code input_ids} int64 [B, T] or [T] and outputs
   * @param plan which keys and values each layer sees
   * @param inputIds token ids of one sequence to run instead of the file's; empty for the file's
   * @param tensor the name of the stored logits, usually {@code logits}
   * @param prefillTokens tokens run at once at the start, the rest one by one; 0 runs all at once
   * @param tolerance largest absolute difference that passes
   */
  public record Request(
      Path file,
      Plan plan,
      List<Integer> inputIds,
      String tensor,
      int prefillTokens,
      double tolerance) {
    /** The name under which the logits are stored unless told otherwise. */
    public static final String LOGITS = "logits";

    /** The tolerance for float32. */
    public static final double DEFAULT_TOLERANCE = 2e-4;

    /** The same where sources lie above their readers: each pass amplifies rounding. */
    public static final double UPWARD_TOLERANCE = 1e-2;

    /** The tolerance where none is asked for. */
    public static double usualTolerance(Plan plan) {
      return plan.map().hasUpwardSources() ? UPWARD_TOLERANCE : DEFAULT_TOLERANCE;
    }

    /** Copies the list and refuses values without meaning. */
    public Request {
      inputIds = List.copyOf(inputIds);
      if (prefillTokens < 0 || !(tolerance >= 0)) {
        throw new IllegalArgumentException(
            "prefill tokens and tolerance must not be negative, found %d and %s"
                .formatted(prefillTokens, tolerance));
      }
    }
  }

  /**
   * What the name of a tensor recorded from the LCKV code, CONFIG/VARIANT/MODE, says about how it
   * was computed.
   *
   * @param flashAttention whether the variant is flash attention, whose windows see one token more
   * @param incremental whether half of the tokens were run at once and the rest one by one
   */
  public record RecordedTensor(boolean flashAttention, boolean incremental) {
    /**
     * Reads a name.
     *
     * @param ofScheme whether a scheme is checked; other names mean nothing
     */
    public static RecordedTensor of(String name, boolean ofScheme) {
      String[] words = name.split("/", -1);
      boolean recorded = ofScheme && words.length == 3;
      return new RecordedTensor(
          recorded && words[1].startsWith("flash"), recorded && words[2].startsWith("incremental"));
    }

    /** Tokens run at once at the start; 0 for all. */
    public int prefillTokens(int tokens) {
      return incremental ? tokens / 2 : 0;
    }
  }

  /**
   * A check of one model.
   *
   * @param decoder the model, which stays open
   * @param endTokens end tokens of the model; they count as suppressed in a stored continuation
   *     that does not hold any
   */
  public CheckpointCheck(Decoder decoder, Set<Integer> endTokens) {
    this(decoder, endTokens, LOGIT_BYTES);
  }

  /**
   * @param logitBytes bytes of the logits that are compared at once; a single position may have
   *     more
   */
  CheckpointCheck(Decoder decoder, Set<Integer> endTokens, long logitBytes) {
    this.decoder = decoder;
    this.endTokens = Set.copyOf(endTokens);
    this.logitBytes = logitBytes;
  }

  /**
   * Runs several requests, such as one plan and another, and returns the result that is nearest.
   *
   * @param requests at least one
   */
  public CheckResult nearest(List<Request> requests) {
    return requests.stream()
        .map(this::run)
        .min(Comparator.comparingDouble(CheckResult::maxDifference))
        .orElseThrow();
  }

  /**
   * Runs the inputs and compares.
   *
   * @throws EvaluationException if the file lacks what the check needs or does not fit the model
   * @throws dev.kvshare.apply.model.CheckpointException if it is not a safetensors file
   */
  public CheckResult run(Request request) {
    try (StoredOutputs stored = new StoredOutputs(request.file())) {
      Run run = new Run(request, stored);
      List<TensorDifference> differences = new ArrayList<>();
      differences.add(run.compare(request.tensor()));
      if (stored.has(LAST_HIDDEN) && !request.tensor().equals(LAST_HIDDEN)) {
        differences.add(run.compare(LAST_HIDDEN));
      }
      return new CheckResult(
          request, List.copyOf(differences), stored.has(GREEDY) ? run.greedy() : null);
    }
  }

  /** Told the outputs float32 [B, C, W], row-major, of the positions from {@code start} on. */
  interface Outputs {
    void accept(int start, int positions, float[] outputs);
  }

  /**
   * Runs the inputs of a request. Letters: B sequences, T tokens, C positions of a chunk, E hidden
   * size, V vocabulary. The layers run all tokens of a step at once; logits are made of C positions
   * at a time, as those of all may be larger than the memory.
   */
  final class Run {
    private final Request request;
    private final StoredOutputs stored;

    /** int64 [B, T], row-major. */
    private final long[] ids;

    private final int batch;
    private final int tokens;

    /** A run of the ids of the request or, where it has none, those of the file. */
    Run(Request request, StoredOutputs stored) {
      this.request = request;
      this.stored = stored;
      int sequences = 1;
      if (request.inputIds().isEmpty()) {
        List<Long> shape = stored.info(INPUT_IDS).shape();
        if (shape.isEmpty() || shape.size() > 2) {
          throw new EvaluationException(
              "The tensor %s%s of %s must have the shape [sequences, tokens] or [tokens]."
                  .formatted(INPUT_IDS, shape, stored.path()));
        }
        sequences = shape.size() == 2 ? Math.toIntExact(shape.get(0)) : 1;
        ids = stored.integers(INPUT_IDS);
      } else {
        ids = request.inputIds().stream().mapToLong(id -> id).toArray();
      }
      batch = sequences;
      tokens = ids.length / batch;
      OptionalLong foreign = foreign(ids);
      if (foreign.isPresent()) {
        throw new EvaluationException(
            "The token id %d is outside the vocabulary of the model, 0 to %d. Check that %s belongs to this model."
                .formatted(foreign.getAsLong(), vocabulary() - 1, stored.path()));
      }
    }

    private TensorDifference compare(String tensor) {
      TensorInfo info = stored.info(tensor);
      List<Long> shape = info.shape();
      long last = shape.isEmpty() ? 0 : shape.get(shape.size() - 1);
      int hiddenSize = decoder.spec().hiddenSize();
      // Where vocabulary and hidden size are equal, the name decides.
      boolean hidden =
          last == hiddenSize && (hiddenSize != vocabulary() || tensor.contains("hidden"));
      int width = hidden ? hiddenSize : vocabulary();
      checkShape(info, width);
      // A tensor of one axis is the last position alone.
      int first = shape.size() == 1 ? tokens - 1 : 0;
      TensorDifference.Comparison comparison = new TensorDifference.Comparison(shape);
      run(
          hidden,
          (start, positions, outputs) -> {
            int from = Math.max(start, first);
            int count = start + positions - from;
            for (int row = 0; count > 0 && row < batch; row++) {
              long vector = (long) row * (tokens - first) + from - first;
              comparison.add(
                  vector * width,
                  stored.vectors(tensor, vector, count),
                  outputs,
                  (row * positions + from - start) * width);
            }
          });
      return comparison.result(tensor, request.tolerance());
    }

    private void checkShape(TensorInfo info, long width) {
      List<Long> all = List.of((long) batch, (long) tokens, width);
      List<Long> one = all.subList(1, 3);
      List<Long> shape = info.shape();
      boolean fits = batch == 1 && (shape.equals(one) || shape.equals(List.of(width)));
      if (!fits && !shape.equals(all)) {
        throw new EvaluationException(
            "The tensor %s%s of %s does not fit its inputs and the model: expected %s%s. Name the logits with --tensor; the file has %s."
                .formatted(
                    info.name(),
                    shape,
                    stored.path(),
                    all,
                    batch == 1 ? ", %s or [%d]".formatted(one, width) : "",
                    stored.listing()));
      }
    }

    /**
     * Gives all outputs: hidden states behind the final norm, W = E, or logits, W = V, for which
     * single tokens behind others take the way of generation.
     */
    void run(boolean hidden, Outputs outputs) {
      int chunk = (int) Math.max(1, logitBytes / Float.BYTES / vocabulary() / batch);
      int first = request.prefillTokens() == 0 ? tokens : Math.min(request.prefillTokens(), tokens);
      try (NDManager scratch = decoder.newManager();
          KvCache cache = decoder.newCache(CacheOptions.of(request.plan()), batch, tokens)) {
        for (int start = 0, end = first; start < tokens; start = end, end++) {
          try (NDManager step = scratch.newSubManager()) {
            NDArray part =
                step.create(ids, new Shape(batch, tokens)).get(new NDIndex(":, {}:{}", start, end));
            if (start > 0 && !hidden) {
              outputs.accept(start, 1, decoder.decode(part.reshape(batch), cache).toFloatArray());
              continue;
            }
            NDArray states = decoder.hidden(part, cache);
            if (hidden) {
              NDArray normed = decoder.finalNorm(states).toType(DataType.FLOAT32, false);
              outputs.accept(start, end - start, normed.toFloatArray());
              continue;
            }
            for (int from = 0; from < end; from += chunk) {
              int to = Math.min(end, from + chunk);
              try (NDArray positions = states.get(new NDIndex(":, {}:{}", from, to));
                  NDArray logits = decoder.head(positions)) {
                outputs.accept(from, to - from, logits.toFloatArray());
              }
            }
          }
        }
      }
    }

    /** Compares the greedy continuation of the first sequence with the stored one. */
    private GreedyDifference greedy() {
      long[] expected = stored.integers(GREEDY);
      if (foreign(expected).isPresent()) {
        throw new EvaluationException(
            "The tensor %s of %s has token ids outside the vocabulary of the model, 0 to %d."
                .formatted(GREEDY, stored.path(), vocabulary() - 1));
      }
      boolean holdsEnd = LongStream.of(expected).anyMatch(id -> endTokens.contains((int) id));
      Set<Integer> suppressed = holdsEnd ? Set.of() : endTokens;
      int[] prompt = Arrays.stream(ids).limit(tokens).mapToInt(Math::toIntExact).toArray();
      int capacity = prompt.length + expected.length;
      try (NDManager scratch = decoder.newManager();
          KvCache cache = decoder.newCache(CacheOptions.of(request.plan()), 1, capacity)) {
        NDArray logits = decoder.prefill(PromptBatch.of(prompt), cache, PREFILL_CHUNK);
        for (int step = 0; step < expected.length; step++) {
          float[] values = logits.toFloatArray();
          logits.close();
          int wanted = (int) expected[step];
          int found = best(values, suppressed);
          if (found != wanted) {
            double margin = (double) values[found] - values[wanted];
            // Each of the two logits may be off by the tolerance.
            boolean tied = margin <= 2 * request.tolerance();
            return new GreedyDifference(expected.length, step, wanted, found, margin, tied);
          }
          if (step + 1 < expected.length) {
            logits = decoder.decode(scratch.create(new long[] {wanted}), cache);
          }
        }
        return new GreedyDifference(expected.length, expected.length, -1, -1, 0, true);
      }
    }
  }

  private int vocabulary() {
    return decoder.spec().vocabularySize();
  }

  private OptionalLong foreign(long[] ids) {
    return LongStream.of(ids).filter(id -> id < 0 || id >= vocabulary()).findFirst();
  }

  private static int best(float[] logits, Set<Integer> suppressed) {
    int best = -1;
    for (int token = 0; token < logits.length; token++) {
      if (!suppressed.contains(token) && (best < 0 || logits[token] > logits[best])) {
        best = token;
      }
    }
    return best;
  }
}
