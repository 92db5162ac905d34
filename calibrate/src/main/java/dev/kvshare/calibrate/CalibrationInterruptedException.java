package dev.kvshare.calibrate;

/** The calibrating thread was interrupted; the journal, if there is one, holds what was done. */
public final class CalibrationInterruptedException extends CalibrationException {
  private static final long serialVersionUID = 1L;

  public CalibrationInterruptedException(String message) {
    super(message);
  }
}
