package dev.kvshare.calibrate;

/** Settings that make no sense in themselves or for this model: a usage error. */
public final class CalibrationUsageException extends CalibrationException {
  private static final long serialVersionUID = 1L;

  public CalibrationUsageException(String message) {
    super(message);
  }
}
