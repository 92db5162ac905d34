package dev.kvshare.calibrate;

import java.nio.file.Path;

/** Writes a calibration as one self-contained HTML page. */
public final class ReportFile {
  private ReportFile() {}

  /** Writes the page in one step: never half of it. */
  public static void write(CalibrationResult result, Path file) {
    pending(file);
  }

  @SuppressWarnings("TypeParameterUnusedInFormals")
  private static <T> T pending(Path what) {
    throw new CalibrationException(what.toString());
  }
}
