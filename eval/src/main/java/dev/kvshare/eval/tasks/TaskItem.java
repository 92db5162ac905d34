package dev.kvshare.eval.tasks;

import java.util.List;

/**
 * One question as text.
 *
 * @param contexts what the model reads; one for each continuation
 * @param continuations whose likelihood behind its context is asked for; empty where the model
 *     writes the answer
 * @param choices the answers as their lengths count, in the order of the continuations
 * @param gold the place of the right choice
 * @param answer the right answer where the model writes one, else null
 */
public record TaskItem(
    List<String> contexts,
    List<String> continuations,
    List<String> choices,
    int gold,
    String answer) {

  /**
   * What a model made of it.
   *
   * @param logLikelihoods in nats, one for each continuation
   * @param greedy whether each token of a continuation is the likeliest behind the ones before
   * @param text what the model wrote, or null
   */
  public record Response(List<Double> logLikelihoods, List<Boolean> greedy, String text) {}

  /** Choices behind one context. */
  static TaskItem choices(String context, List<String> choices, int gold) {
    return new TaskItem(
        choices.stream().map(choice -> context).toList(),
        choices.stream().map(choice -> " " + choice).toList(),
        choices,
        gold,
        null);
  }
}
