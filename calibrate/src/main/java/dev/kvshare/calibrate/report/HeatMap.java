package dev.kvshare.calibrate.report;

import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.search.SearchOutcome;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * The lower triangle of the distance matrix: a row a layer i, a column a lower layer j. Lengths are
 * in CSS pixels.
 *
 * @param width width of the picture
 * @param height height of the picture
 * @param cell side of a cell
 * @param right right end of the cells
 * @param bottom lower end of the cells
 * @param cells the pairs
 * @param marks the tested pairs
 * @param rowLabels numbers of the layers i
 * @param columnLabels numbers of the layers j
 * @param legend the colours from the largest to the smallest distance
 * @param ticks numbers beside the legend
 */
record HeatMap(
    int width,
    int height,
    int cell,
    int right,
    int bottom,
    List<Cell> cells,
    List<Mark> marks,
    List<StepChart.Axis.Tick> rowLabels,
    List<StepChart.Axis.Tick> columnLabels,
    List<Cell> legend,
    List<StepChart.Axis.Tick> ticks) {
  private static final int LEFT = 58;
  private static final int TOP = 16;
  private static final int BELOW = 50;
  private static final int LEGEND_STEPS = 40;
  private static final int LEGEND_STEP = 5;

  /**
   * A coloured rectangle.
   *
   * @param x its left side
   * @param y its upper side
   * @param colour {@code #rrggbb}
   * @param title in words
   */
  record Cell(int x, int y, String colour, String title) {}

  /**
   * A mark on a cell.
   *
   * @param x its middle
   * @param y its middle
   * @param accepted whether the pair was accepted
   */
  record Mark(double x, double y, boolean accepted) {}

  static HeatMap of(DistanceMatrix distances, SearchOutcome outcome) {
    int layers = distances.layers();
    int cell = Math.max(8, Math.min(44, 680 / Math.max(1, layers - 1)));
    List<DistanceMatrix.Pair> pairs = distances.pairs();
    double least = pairs.stream().mapToDouble(DistanceMatrix.Pair::distance).min().orElse(0);
    double most = pairs.stream().mapToDouble(DistanceMatrix.Pair::distance).max().orElse(1);
    List<Cell> cells = new ArrayList<>();
    for (DistanceMatrix.Pair pair : pairs) {
      String title =
          String.format(
              Locale.ROOT,
              "i = %d, j = %d: %.4f (keys %.4f, values %.4f)",
              pair.layer(),
              pair.source(),
              pair.distance(),
              distances.key(pair.layer(), pair.source()),
              distances.value(pair.layer(), pair.source()));
      cells.add(
          new Cell(
              LEFT + pair.source() * cell,
              TOP + (pair.layer() - 1) * cell,
              colour(place(pair.distance(), least, most)),
              title));
    }
    int right = LEFT + (layers - 1) * cell;
    int bottom = TOP + (layers - 1) * cell;
    int width = Math.max(right + 16, 420);
    return new HeatMap(
        width,
        Math.max(bottom, TOP + LEGEND_STEPS * LEGEND_STEP + 24) + BELOW,
        cell,
        right,
        bottom,
        cells,
        marks(outcome, cell),
        labels(layers, cell, TOP, 1),
        labels(layers, cell, LEFT, 0),
        legend(width),
        ticks(least, most));
  }

  private static double place(double distance, double least, double most) {
    return most > least ? (distance - least) / (most - least) : 0.5;
  }

  private static List<Mark> marks(SearchOutcome outcome, int cell) {
    List<Mark> marks = new ArrayList<>();
    for (SearchOutcome.Tested tested : outcome.tested()) {
      marks.add(
          new Mark(
              LEFT + (tested.pair().source() + 0.5) * cell,
              TOP + (tested.pair().layer() - 0.5) * cell,
              tested.accepted()));
    }
    return marks;
  }

  /** A number at every layer, or at every fifth where they would touch. */
  private static List<StepChart.Axis.Tick> labels(int layers, int cell, int start, int first) {
    int every = cell >= 16 ? 1 : 5;
    List<StepChart.Axis.Tick> labels = new ArrayList<>();
    for (int index = 0; index < layers - 1; index++) {
      int layer = index + first;
      if (layer % every == 0) {
        labels.add(new StepChart.Axis.Tick(start + (index + 0.5) * cell, Integer.toString(layer)));
      }
    }
    return labels;
  }

  private static List<Cell> legend(int width) {
    List<Cell> legend = new ArrayList<>();
    for (int step = 0; step < LEGEND_STEPS; step++) {
      legend.add(
          new Cell(
              width - 90,
              TOP + 24 + step * LEGEND_STEP,
              colour(1 - (step + 0.5) / LEGEND_STEPS),
              ""));
    }
    return legend;
  }

  private static List<StepChart.Axis.Tick> ticks(double least, double most) {
    int length = LEGEND_STEPS * LEGEND_STEP;
    List<StepChart.Axis.Tick> ticks = new ArrayList<>();
    for (double value : StepChart.Axis.round(least, most, 5)) {
      ticks.add(
          new StepChart.Axis.Tick(
              TOP + 24 + length * (1 - place(value, least, most)), StepChart.Axis.label(value)));
    }
    return ticks;
  }

  /**
   * Viridis at eleven equal steps, as red, green, blue: its lightness rises evenly, so that it can
   * be read in print and with any kind of colour blindness.
   */
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

  /** The colour at a place from 0 to 1, as {@code #rrggbb}. */
  static String colour(double place) {
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
