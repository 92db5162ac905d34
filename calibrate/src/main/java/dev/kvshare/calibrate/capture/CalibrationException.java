package dev.kvshare.calibrate.capture;

/** A calibration that cannot be done or continued; the message says what to do about it. */
public class CalibrationException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public CalibrationException(String message) {
    super(message);
  }

  public CalibrationException(String message, Throwable cause) {
    super(message, cause);
  }

  /** Settings that make no sense in themselves or for this model: a usage error. */
  public static final class Usage extends CalibrationException {
    private static final long serialVersionUID = 1L;

    public Usage(String message) {
      super(message);
    }
  }

  /** The calibrating thread was interrupted; the journal, if there is one, holds what was done. */
  public static final class Interrupted extends CalibrationException {
    private static final long serialVersionUID = 1L;

    private Interrupted() {
      super("The calibration was interrupted.");
    }

    /** Ends the calibration if the thread was interrupted, and clears that state. */
    public static void check() {
      if (Thread.interrupted()) {
        throw new Interrupted();
      }
    }
  }
}
