package dev.kvshare.calibrate.report;

import java.util.Locale;

/**
 * The colours of the heat map: viridis, whose lightness rises evenly, so that it can be read in
 * print and with any kind of colour blindness.
 */
final class ColourScale {
  /** Viridis at eleven equal steps, as red, green, blue. */
  private static final int[][] STOPS = {
    {68, 1, 84},
    {72, 36, 117},
    {65, 68, 135},
    {53, 95, 141},
    {42, 120, 142},
    {33, 145, 140},
    {34, 168, 132},
    {68, 191, 112},
    {122, 209, 81},
    {189, 223, 38},
    {253, 231, 37}
  };

  private ColourScale() {}

  /** The colour at a place from 0 to 1, as {@code #rrggbb}. */
  static String at(double place) {
    double scaled = Math.max(0, Math.min(1, place)) * (STOPS.length - 1);
    int below = Math.min((int) scaled, STOPS.length - 2);
    double part = scaled - below;
    StringBuilder colour = new StringBuilder("#");
    for (int channel = 0; channel < 3; channel++) {
      double value = STOPS[below][channel] * (1 - part) + STOPS[below + 1][channel] * part;
      colour.append(String.format(Locale.ROOT, "%02x", Math.round(value)));
    }
    return colour.toString();
  }
}
