package dev.kvshare.model;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/** Compares the tensors that a configuration asks for with those of the files. */
public final class ExpectedTensors {
  private static final int CAP = 20;

  private ExpectedTensors() {}

  /**
   * Requires each expected tensor with its shape, and no others.
   *
   * @param expected the shape of each tensor by name, in Hugging Face order
   * @param ignored accepts names of further tensors that do no harm, such as masks
   * @throws CheckpointMismatchException listing all that is missing, of another shape or unknown
   */
  public static void require(
      Checkpoint checkpoint, Map<String, List<Long>> expected, Predicate<String> ignored) {
    List<String> problems = new ArrayList<>();
    expected.forEach(
        (name, shape) -> {
          TensorInfo info = checkpoint.tensors().get(name);
          if (info == null) {
            problems.add("'" + name + "' " + shape + " is missing");
          } else if (!info.shape().equals(shape)) {
            problems.add("'" + name + "' has the shape " + info.shape() + " instead of " + shape);
          }
        });
    for (TensorInfo info : checkpoint.tensors().values()) {
      if (!expected.containsKey(info.name()) && !ignored.test(info.name())) {
        problems.add("'" + info.name() + "' " + info.shape() + " is not expected");
      }
    }
    if (!problems.isEmpty()) {
      throw mismatch(checkpoint, problems);
    }
  }

  private static CheckpointMismatchException mismatch(
      Checkpoint checkpoint, List<String> problems) {
    StringBuilder message =
        new StringBuilder(checkpoint.location().toString())
            .append(": the weights do not fit the configuration in ")
            .append(checkpoint.config().origin().getFileName())
            .append(", ")
            .append(problems.size())
            .append(problems.size() == 1 ? " tensor:" : " tensors:");
    problems.stream().limit(CAP).forEach(p -> message.append("\n  - tensor ").append(p));
    if (problems.size() > CAP) {
      message.append("\n  - and ").append(problems.size() - CAP).append(" more");
    }
    return new CheckpointMismatchException(
        message
            .append(
                "\nCheck that configuration and weights belong to the same model, or download it")
            .append(" again.")
            .toString());
  }
}
