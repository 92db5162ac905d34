package dev.kvshare.calibrate.forecast;

import dev.kvshare.apply.decoder.QueryFit;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.ModelSpec;

/**
 * What a fit of a layer's queries costs, from that of running the layer and the numbers of
 * operations: a product with the curvature goes twice through the queries' weight and twice through
 * the scores, a product with the conditioner twice through its two factors.
 *
 * @param spec the model
 * @param times of a layer
 * @param settings of the fit
 * @param window tokens of a window
 */
record QueryFitCost(ModelSpec spec, LayerTimes times, QueryFit.Settings settings, int window) {
  /** Passes over the text beside the iterations: in a step and in the whole fit. */
  private static final int PASSES_A_STEP = 3;

  private static final int PASSES_A_FIT = 4;

  /** Eigenvectors and eigenvalues of N x N inputs, as multiples of N^3 operations. */
  private static final double EIGEN = 25;

  /** Seconds of one fit to a text of so many tokens. */
  double seconds(double tokens) {
    double hidden = spec.hiddenSize();
    double heads = heads();
    double weight = heads * hidden;
    double operation =
        times.walkToken() / (2 * new ModelSize(spec).multiplied() + 2 * window * heads);
    double pass = fitted(tokens) * (4 * weight + 4 * window * heads);
    double conditioned = 4 * weight * (hidden + headSize());
    double iterations = (double) settings.steps() * settings.iterations();
    double passes = iterations + settings.steps() * PASSES_A_STEP + PASSES_A_FIT;
    return operation * (passes * pass + iterations * conditioned)
        + times.solve() * EIGEN * hidden * hidden * hidden / LayerTimes.solveOperations(spec);
  }

  /** Bytes of the distributions: wanted, given and the weights of the curvature. */
  double bytes(double tokens) {
    return 3 * fitted(tokens) * window * attention().queryHeads() * Float.BYTES;
  }

  private double fitted(double tokens) {
    return Math.min(tokens, settings.tokens());
  }

  private double heads() {
    return (double) attention().queryHeads() * headSize();
  }

  private int headSize() {
    return attention().headSize();
  }

  private AttentionSpec attention() {
    return spec.blocks().get(spec.layers() - 1).attention();
  }
}
