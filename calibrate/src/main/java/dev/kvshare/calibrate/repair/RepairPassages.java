package dev.kvshare.calibrate.repair;

import java.util.ArrayList;
import java.util.List;

/**
 * The text of a repair as token ids, one array a window.
 *
 * @param fit windows that weights are fitted to
 * @param validation windows that decide between fits and judge the result; where there are none,
 *     the windows of the fit do
 */
public record RepairPassages(List<int[]> fit, List<int[]> validation) {

  /** Copies the lists. */
  public RepairPassages {
    fit = List.copyOf(fit);
    validation = List.copyOf(validation);
    if (fit.isEmpty()) {
      throw new IllegalArgumentException("There is no window to fit to.");
    }
  }

  /**
   * Every {@code nth} window for validation, the others for the fits.
   *
   * @param windows at least n of them, else all are for the fits
   */
  public static RepairPassages split(List<int[]> windows, int nth) {
    List<int[]> fit = new ArrayList<>();
    List<int[]> validation = new ArrayList<>();
    for (int index = 0; index < windows.size(); index++) {
      (index % nth == nth - 1 ? validation : fit).add(windows.get(index));
    }
    return new RepairPassages(fit, validation);
  }

  /** Tokens in all windows. */
  public long tokens() {
    return fit.stream().mapToLong(window -> window.length).sum()
        + validation.stream().mapToLong(window -> window.length).sum();
  }
}
