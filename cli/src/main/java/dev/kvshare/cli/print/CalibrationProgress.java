package dev.kvshare.cli.print;

import dev.kvshare.calibrate.capture.CalibrationListener;
import java.util.Locale;

/** Shows on the terminal how a calibration goes on. */
public final class CalibrationProgress implements CalibrationListener {
  private final Output output;
  private final ProgressLine line;

  public CalibrationProgress(Output output, ProgressLine line) {
    this.output = output;
    this.line = line;
  }

  @Override
  public void progressed(Progress progress) {
    line.show(name(progress.phase()), progress.done(), progress.total(), remark(progress));
  }

  @Override
  public void warned(String message) {
    line.close();
    output.warn(message);
  }

  @Override
  public void noted(String message) {
    line.close();
    output.note(message);
  }

  private static String name(Phase phase) {
    return switch (phase) {
      case CAPTURE -> "reading samples";
      case RANK -> "ranking pairs";
      case SEARCH -> "trying pairs";
      case SINGLES -> "trying single layers";
      case STEPS -> "choosing layers";
      case REPAIR -> "refitting layers";
      case RECALL -> "asking for hidden numbers";
    };
  }

  private static String remark(Progress progress) {
    return switch (progress.phase()) {
      case CAPTURE, RANK, SINGLES, REPAIR, RECALL -> "";
      case SEARCH -> layers(progress, "similarity %.3f", progress.similarity());
      case STEPS -> layers(progress, "KL divergence %.4f", progress.divergence());
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
