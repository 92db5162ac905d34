package dev.kvshare.calibrate.report;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.LayerAction;
import dev.kvshare.calibrate.score.Scores;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What each action of each layer costs: a column a layer, a row an action. Lengths are in CSS
 * pixels.
 *
 * @param width width of the picture
 * @param height height of the picture
 * @param cell side of a cell
 * @param cells the scores
 * @param rowLabels the actions
 * @param columnLabels numbers of the layers
 */
record ScorePicture(
    int width,
    int height,
    int cell,
    List<ScoreCell> cells,
    List<StepChart.Axis.Tick> rowLabels,
    List<StepChart.Axis.Tick> columnLabels) {
  private static final int LEFT = 190;
  private static final int TOP = 8;
  private static final int BELOW = 44;
  private static final String WINDOW = "first and last tokens";

  /**
   * A score.
   *
   * @param taken whether the plan does that with the layer
   */
  record ScoreCell(int x, int y, String colour, String title, boolean taken) {}

  static ScorePicture of(Scores scores, Plan plan) {
    int layers = scores.byLayer().size();
    int cell = Math.max(14, Math.min(40, 720 / layers));
    List<String> rows = new ArrayList<>();
    double least = Double.POSITIVE_INFINITY;
    double most = 0;
    for (Map<LayerAction, Double> ofLayer : scores.byLayer()) {
      int share = 0;
      for (Map.Entry<LayerAction, Double> scored : ofLayer.entrySet()) {
        share += scored.getKey() instanceof LayerAction.Share ? 1 : 0;
        String row = row(scored.getKey(), share);
        if (!rows.contains(row)) {
          rows.add(row);
        }
        least = Math.min(least, Math.max(scored.getValue(), 1e-9));
        most = Math.max(most, scored.getValue());
      }
    }
    List<ScoreCell> cells = new ArrayList<>();
    List<StepChart.Axis.Tick> columns = new ArrayList<>();
    for (int layer = 0; layer < layers; layer++) {
      columns.add(new StepChart.Axis.Tick(LEFT + (layer + 0.5) * cell, Integer.toString(layer)));
      int share = 0;
      for (Map.Entry<LayerAction, Double> scored : scores.byLayer().get(layer).entrySet()) {
        share += scored.getKey() instanceof LayerAction.Share ? 1 : 0;
        double place =
            most > least
                ? Math.log(Math.max(scored.getValue(), least) / least) / Math.log(most / least)
                : 0.5;
        cells.add(
            new ScoreCell(
                LEFT + layer * cell,
                TOP + rows.indexOf(row(scored.getKey(), share)) * cell,
                HeatMap.colour(place),
                "layer %d %s: %s".formatted(layer, words(scored.getKey()), number(scored)),
                plan.action(layer).equals(scored.getKey())));
      }
    }
    List<StepChart.Axis.Tick> labels = new ArrayList<>();
    for (int row = 0; row < rows.size(); row++) {
      labels.add(new StepChart.Axis.Tick(TOP + (row + 0.5) * cell, rows.get(row)));
    }
    return new ScorePicture(
        LEFT + layers * cell + 16, TOP + rows.size() * cell + BELOW, cell, cells, labels, columns);
  }

  private static String row(LayerAction action, int share) {
    return action instanceof LayerAction.Share
        ? "reads the layer " + (share == 1 ? "below" : "next below")
        : WINDOW;
  }

  private static String words(LayerAction action) {
    return action instanceof LayerAction.Share share
        ? "reads layer " + share.source()
        : "keeps the " + WINDOW;
  }

  private static String number(Map.Entry<LayerAction, Double> scored) {
    return String.format(Locale.ROOT, "%.5f nats a token", scored.getValue());
  }
}
