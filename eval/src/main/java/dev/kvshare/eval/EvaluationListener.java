package dev.kvshare.eval;

/** Hears how far an evaluation is. */
@FunctionalInterface
public interface EvaluationListener {
  /** Hears nothing. */
  EvaluationListener SILENT = (phase, done, total) -> {};

  /**
   * Called before the first and after each step of a phase.
   *
   * @param phase {@code quality} or {@code speed}
   * @param done steps finished
   * @param total steps of the phase
   */
  void onProgress(String phase, int done, int total);
}
