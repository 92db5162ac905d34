package dev.kvshare.cli.print;

import dev.kvshare.calibrate.capture.CalibrationListener;
import java.util.List;
import java.util.Locale;

/** Shows on the terminal how a calibration goes on. */
public final class CalibrationProgress implements CalibrationListener {
  private final Output output;
  private final ProgressLine line;
  private final String method;
  private List<Phase> phases = List.of();

  /**
   * @param method its name, shown beside the step
   */
  public CalibrationProgress(Output output, ProgressLine line, String method) {
    this.output = output;
    this.line = line;
    this.method = method;
  }

  @Override
  public void planned(List<Phase> toCome) {
    phases = List.copyOf(toCome);
  }

  @Override
  public void progressed(Progress progress) {
    int step = phases.indexOf(progress.phase());
    String name = name(progress.phase());
    line.show(
        step < 0 ? name : "%s %d/%d: %s".formatted(method, step + 1, phases.size(), name),
        progress.done(),
        progress.total(),
        remark(progress));
  }

  @Override
  public void warned(String message) {
    line.close();
    output.warn(message);
  }

  @Override
  public void noted(String message) {
    line.note(message);
  }

  @Override
  public void worked(long forwardTokens, long backwardTokens) {
    line.close();
    output.detail(
        String.format(
            Locale.ROOT,
            "work: %,d tokens forward and %,d backward through the model",
            forwardTokens,
            backwardTokens));
  }

  private static String name(Phase phase) {
    return switch (phase) {
      case CAPTURE -> "reading samples";
      case RANK -> "ranking pairs";
      case SEARCH -> "trying pairs";
      case SCORE -> "scoring layers";
      case PLANS -> "judging plans";
      case REPAIR -> "refitting layers";
      case RECALL -> "asking for hidden numbers";
    };
  }

  private static String remark(Progress progress) {
    return switch (progress.phase()) {
      case CAPTURE, RANK, SCORE, PLANS, REPAIR, RECALL -> "";
      case SEARCH -> layers(progress, "similarity %.3f", progress.similarity());
    };
  }

  private static String layers(Progress progress, String quality, double value) {
    return String.format(
        Locale.ROOT,
        "%d of %d layers, " + quality,
        progress.sharedLayers(),
        progress.wantedLayers(),
        value);
  }
}
