package dev.kvshare.eval.check;

import dev.kvshare.eval.EvaluationException;
import java.util.Arrays;
import java.util.List;

/** The token ids of a check: B sequences of T tokens, row-major. */
final class CheckInputs {
  private static final String INPUT_IDS = "input_ids";

  private final long[] ids;
  private final int batch;

  private CheckInputs(long[] ids, int batch) {
    this.ids = ids;
    this.batch = batch;
  }

  /** Returns the ids of the request or, where it has none, those of the file. */
  static CheckInputs of(CheckRequest request, StoredOutputs stored, int vocabulary) {
    CheckInputs inputs =
        request.inputIds().isEmpty()
            ? ofFile(stored)
            : new CheckInputs(request.inputIds().stream().mapToLong(id -> id).toArray(), 1);
    for (long id : inputs.ids) {
      if (id < 0 || id >= vocabulary) {
        throw new EvaluationException(
            "The token id %d is outside the vocabulary of the model, 0 to %d. Check that %s belongs to this model."
                .formatted(id, vocabulary - 1, stored.path()));
      }
    }
    return inputs;
  }

  private static CheckInputs ofFile(StoredOutputs stored) {
    List<Long> shape = stored.info(INPUT_IDS).shape();
    if (shape.isEmpty() || shape.size() > 2) {
      throw new EvaluationException(
          "The tensor %s%s of %s must have the shape [sequences, tokens] or [tokens]."
              .formatted(INPUT_IDS, shape, stored.path()));
    }
    int batch = shape.size() == 2 ? Math.toIntExact(shape.get(0)) : 1;
    return new CheckInputs(stored.integers(INPUT_IDS), batch);
  }

  long[] ids() {
    return ids;
  }

  int batch() {
    return batch;
  }

  int tokens() {
    return ids.length / batch;
  }

  int[] firstSequence() {
    return Arrays.stream(ids).limit(tokens()).mapToInt(Math::toIntExact).toArray();
  }
}
