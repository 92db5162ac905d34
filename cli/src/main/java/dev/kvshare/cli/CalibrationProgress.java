package dev.kvshare.cli;

import dev.kvshare.calibrate.CalibrationListener;
import java.util.Locale;

/** Shows on the terminal how a calibration goes on. */
final class CalibrationProgress implements CalibrationListener {
  private final Output output;
  private final ProgressLine line;

  CalibrationProgress(Output output, ProgressLine line) {
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

  private static String name(Phase phase) {
    return switch (phase) {
      case CAPTURE -> "reading samples";
      case RANK -> "ranking pairs";
      case SEARCH -> "trying pairs";
    };
  }

  private static String remark(Progress progress) {
    return progress.phase() == Phase.SEARCH
        ? String.format(
            Locale.ROOT,
            "%d of %d layers share, similarity %.3f",
            progress.sharedLayers(),
            progress.wantedLayers(),
            progress.similarity())
        : "";
  }
}
