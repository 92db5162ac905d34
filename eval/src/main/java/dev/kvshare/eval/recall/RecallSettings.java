package dev.kvshare.eval.recall;

import java.util.List;

/**
 * What is asked.
 *
 * @param tasks in the order of the columns
 * @param contexts tokens of the passages, each with a question and its answer
 * @param passages how many of each task and length; each has two questions
 * @param seed of everything that is drawn by chance
 */
public record RecallSettings(
    List<RecallTask> tasks, List<Integer> contexts, int passages, long seed) {
  /** All tasks, eight passages of 1,024 tokens each. */
  public static final RecallSettings DEFAULT =
      new RecallSettings(List.of(RecallTask.values()), List.of(1024), 8, 0);

  public RecallSettings {
    tasks = tasks.stream().distinct().toList();
    contexts = contexts.stream().distinct().toList();
    if (tasks.isEmpty() || contexts.isEmpty() || passages < 1) {
      throw new IllegalArgumentException(
          "recall needs a task, a context and a passage at least, found %s, %s and %d"
              .formatted(tasks, contexts, passages));
    }
  }
}
