package dev.kvshare.eval.check;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.model.TensorInfo;
import dev.kvshare.eval.EvaluationException;
import java.util.ArrayList;
import java.util.Arrays;
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

  private final Decoder decoder;
  private final Set<Integer> endTokens;

  /**
   * Creates a check.
   *
   * @param decoder the model, which stays open
   * @param endTokens end tokens of the model; they count as suppressed in a stored continuation
   *     that does not hold any
   */
  public CheckpointCheck(Decoder decoder, Set<Integer> endTokens) {
    this.decoder = decoder;
    this.endTokens = Set.copyOf(endTokens);
  }

  /**
   * Runs the inputs and compares.
   *
   * @throws EvaluationException if the file lacks what the check needs or does not fit the model
   * @throws dev.kvshare.apply.model.CheckpointException if it is not a safetensors file
   */
  public CheckResult run(CheckRequest request) {
    try (StoredOutputs stored = StoredOutputs.open(request.file())) {
      CheckInputs inputs = CheckInputs.of(request, stored, decoder.spec().vocabularySize());
      CheckRun run = new CheckRun(decoder, request.plan(), request.prefillTokens());
      List<CheckResult.TensorDifference> differences = new ArrayList<>();
      differences.add(compare(request, stored, request.tensor(), inputs, run));
      if (stored.has(LAST_HIDDEN) && !request.tensor().equals(LAST_HIDDEN)) {
        differences.add(compare(request, stored, LAST_HIDDEN, inputs, run));
      }
      return new CheckResult(differences, greedy(request, stored, inputs, run));
    }
  }

  private CheckResult.TensorDifference compare(
      CheckRequest request, StoredOutputs stored, String tensor, CheckInputs inputs, CheckRun run) {
    TensorInfo info = stored.info(tensor);
    List<Long> shape = info.shape();
    long width = shape.isEmpty() ? 0 : shape.get(shape.size() - 1);
    boolean hidden = width == decoder.spec().hiddenSize() && isHidden(tensor);
    int expectedWidth = hidden ? decoder.spec().hiddenSize() : decoder.spec().vocabularySize();
    checkShape(stored, info, inputs, expectedWidth);
    float[] expected = stored.floats(tensor);
    float[] computed =
        hidden
            ? run.lastHidden(inputs.ids(), inputs.batch())
            : run.logits(inputs.ids(), inputs.batch());
    float[] found =
        Arrays.copyOfRange(computed, computed.length - expected.length, computed.length);
    return Differences.of(tensor, shape, expected, found, request.tolerance());
  }

  /** Where vocabulary and hidden size are equal, the name decides. */
  private boolean isHidden(String tensor) {
    return decoder.spec().hiddenSize() != decoder.spec().vocabularySize()
        || tensor.contains("hidden");
  }

  private static void checkShape(
      StoredOutputs stored, TensorInfo info, CheckInputs inputs, long width) {
    List<Long> all = List.of((long) inputs.batch(), (long) inputs.tokens(), width);
    boolean oneSequence = inputs.batch() == 1;
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

  private CheckResult.GreedyDifference greedy(
      CheckRequest request, StoredOutputs stored, CheckInputs inputs, CheckRun run) {
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
    return run.greedy(
        inputs.firstSequence(), expected, holdsEnd ? Set.of() : endTokens, request.tolerance());
  }
}
