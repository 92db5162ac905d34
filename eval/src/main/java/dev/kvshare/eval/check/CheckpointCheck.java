package dev.kvshare.eval.check;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.eval.quality.EvaluationException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
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
  private static final String GREEDY = "greedy";
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
    private static final RecordedTensor PLAIN = new RecordedTensor(false, false);

    /**
     * Reads a name.
     *
     * @param ofScheme whether a scheme is checked; other names mean nothing
     */
    public static RecordedTensor of(String name, boolean ofScheme) {
      String[] words = name.split("/", -1);
      return ofScheme && words.length == 3
          ? new RecordedTensor(words[1].startsWith("flash"), words[2].startsWith("incremental"))
          : PLAIN;
    }

    /** Tokens run at once at the start; 0 for all. */
    public int prefillTokens(int tokens) {
      return incremental ? tokens / 2 : 0;
    }
  }

  /**
   * Creates a check.
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
   * Runs the inputs and compares.
   *
   * @throws EvaluationException if the file lacks what the check needs or does not fit the model
   * @throws dev.kvshare.apply.model.CheckpointException if it is not a safetensors file
   */
  public CheckResult run(Request request) {
    try (StoredOutputs stored = StoredOutputs.open(request.file())) {
      CheckRun run = new CheckRun(decoder, request, stored, logitBytes);
      List<CheckResult.TensorDifference> differences = new ArrayList<>();
      differences.add(compare(request, stored, request.tensor(), run));
      if (stored.has(LAST_HIDDEN) && !request.tensor().equals(LAST_HIDDEN)) {
        differences.add(compare(request, stored, LAST_HIDDEN, run));
      }
      return new CheckResult(differences, greedy(request, stored, run));
    }
  }

  private CheckResult.TensorDifference compare(
      Request request, StoredOutputs stored, String tensor, CheckRun run) {
    TensorInfo info = stored.info(tensor);
    List<Long> shape = info.shape();
    long last = shape.isEmpty() ? 0 : shape.get(shape.size() - 1);
    boolean hidden = last == decoder.spec().hiddenSize() && isHidden(tensor);
    int width = hidden ? decoder.spec().hiddenSize() : decoder.spec().vocabularySize();
    checkShape(stored, info, run, width);
    // A tensor of one axis is the last position alone.
    int first = shape.size() == 1 ? run.tokens() - 1 : 0;
    int kept = run.tokens() - first;
    CheckResult.TensorDifference.Comparison comparison =
        new CheckResult.TensorDifference.Comparison();
    CheckRun.Outputs compared =
        (start, positions, outputs) -> {
          int from = Math.max(start, first);
          int count = start + positions - from;
          for (int row = 0; count > 0 && row < run.batch(); row++) {
            long vector = (long) row * kept + from - first;
            comparison.add(
                vector * width,
                stored.vectors(tensor, vector, count),
                outputs,
                (row * positions + from - start) * width);
          }
        };
    if (hidden) {
      run.lastHidden(compared);
    } else {
      run.logits(compared);
    }
    return comparison.result(tensor, shape, request.tolerance());
  }

  /** Where vocabulary and hidden size are equal, the name decides. */
  private boolean isHidden(String tensor) {
    return decoder.spec().hiddenSize() != decoder.spec().vocabularySize()
        || tensor.contains("hidden");
  }

  private static void checkShape(StoredOutputs stored, TensorInfo info, CheckRun run, long width) {
    List<Long> all = List.of((long) run.batch(), (long) run.tokens(), width);
    boolean oneSequence = run.batch() == 1;
    List<Long> shape = info.shape();
    boolean fits =
        shape.equals(all)
            || (oneSequence && (shape.equals(all.subList(1, 3)) || shape.equals(List.of(width))));
    if (!fits) {
      throw new EvaluationException(
          "The tensor %s%s of %s does not fit its inputs and the model: expected %s%s. Name the logits with --tensor; the file has %s."
              .formatted(
                  info.name(),
                  shape,
                  stored.path(),
                  all,
                  oneSequence ? ", %s or [%d]".formatted(all.subList(1, 3), width) : "",
                  stored.listing()));
    }
  }

  private CheckResult.GreedyDifference greedy(Request request, StoredOutputs stored, CheckRun run) {
    if (!stored.has(GREEDY)) {
      return null;
    }
    long[] expected = stored.integers(GREEDY);
    int vocabulary = decoder.spec().vocabularySize();
    if (LongStream.of(expected).anyMatch(id -> id < 0 || id >= vocabulary)) {
      throw new EvaluationException(
          "The tensor %s of %s has token ids outside the vocabulary of the model, 0 to %d."
              .formatted(GREEDY, stored.path(), vocabulary - 1));
    }
    boolean holdsEnd = LongStream.of(expected).anyMatch(id -> endTokens.contains((int) id));
    return run.greedy(expected, holdsEnd ? Set.of() : endTokens, request.tolerance());
  }
}
