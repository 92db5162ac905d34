package dev.kvshare.calibrate;

/** Lets an interrupt of the thread end a calibration between two layers. */
public final class Interrupts {
  private Interrupts() {}

  /** Ends the calibration if the thread was interrupted. */
  public static void check() {
    if (Thread.interrupted()) {
      throw new CalibrationInterruptedException(
          "The calibration was interrupted. What the search tested is in its journal, if it keeps"
              + " one: run the same command with --resume to go on.");
    }
  }
}
