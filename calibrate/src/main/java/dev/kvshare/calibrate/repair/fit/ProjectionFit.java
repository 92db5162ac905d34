package dev.kvshare.calibrate.repair.fit;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.apply.family.spec.WeightRole;
import java.util.List;

/**
 * The fit of one projection: collects tokens, then chooses among the strengths of regularisation.
 *
 * <pre>
 * minimise  sum_t w_t |W o_t + b - y_t|^2 + strength * mean(o^2) * |W - W_0|^2
 * </pre>
 *
 * <p>An own-token projection adds columns to W, with weights 0 in W_0 and a mean of their own.
 *
 * <p>o_t enters the projection under the sharing map, y_t leads back to the residual stream of the
 * unshared model behind the part ({@link LayerParts#target}), W_0 is the original weight.
 */
public final class ProjectionFit implements AutoCloseable {
  /** A fit must lower the error by this fraction to be worth its place in the file. */
  private static final double MINIMUM_GAIN = 1e-3;

  /** An error that float32 makes by itself: a fit to it is one to noise. */
  private static final double ROUNDING_ERROR = 1e-10;

  private final LayerParts parts;
  private final int layer;
  private final Part part;
  private final RidgeFit fit;
  private final RidgeFit validation;
  private final Projection original;
  private long fitTokens;
  private long validationTokens;

  /**
   * What the fit of one projection did. Errors are relative: the mean over tokens of the squared
   * difference from the unshared model's residual stream over that stream's squared length.
   *
   * @param layer the layer
   * @param part the part that the projection ends
   * @param strength the regularisation chosen; 0 where the original weight stays
   * @param errorBefore error on the validation passages with the original weight
   * @param errorAfter error on the validation passages with the weight that is used
   */
  public record FittedPart(
      int layer, Part part, double strength, double errorBefore, double errorAfter) {

    /** Whether the weight was replaced. */
    public boolean replaced() {
      return strength > 0;
    }
  }

  /** The projection that is used from now on, null for the original one, and how it came to be. */
  public record Choice(Projection projection, FittedPart report) {}

  /**
   * A fit without tokens.
   *
   * @param manager owns the original weight and the chosen one
   * @param own whether the input of the queries stands behind what the heads give
   */
  public ProjectionFit(
      Decoder decoder, Fits fits, NDManager manager, int layer, Part part, boolean own) {
    this.parts = decoder.parts();
    this.layer = layer;
    this.part = part;
    WeightRole role = part.projection();
    NDArray weight = decoder.weight(layer, role, manager);
    long outputs = weight.getShape().get(0);
    boolean biased = decoder.spec().blocks().get(layer).weights().containsKey(role.bias());
    NDArray bias =
        biased ? decoder.weight(layer, role.bias(), manager) : manager.zeros(new Shape(outputs));
    long block = weight.getShape().get(1);
    if (own) {
      try (NDArray narrow = weight;
          NDArray none = manager.zeros(new Shape(outputs, outputs))) {
        weight = narrow.concat(none, 1);
      }
    }
    this.original = new Projection(weight, bias);
    this.fit = fits.newRidge(weight.getShape().get(1), block, outputs);
    this.validation = fits.newRidge(weight.getShape().get(1), block, outputs);
  }

  /**
   * Adds a batch.
   *
   * @param entering what enters the projection [B, T, F]
   * @param x the stream before the part [B, T, E]
   * @param reference the unshared model's stream before the part [B, T, E]
   * @param projected what its projection gives [B, T, E]
   * @param judging whether the batch decides between strengths
   */
  public void add(
      NDArray entering, NDArray x, NDArray reference, NDArray projected, boolean judging) {
    try (NDArray target = parts.target(layer, part, reference, x, projected);
        NDArray weights = parts.tokenWeights(layer, reference, projected)) {
      (judging ? validation : fit).add(entering, target, weights);
      if (judging) {
        validationTokens += weights.size();
      } else {
        fitTokens += weights.size();
      }
    }
  }

  /** Solves for each strength, ascending ones, from the middle on while the error falls. */
  public Choice choose(List<Double> strengths) {
    boolean validated = validationTokens > 0;
    RidgeFit judge = validated ? validation : fit;
    long tokens = validated ? validationTokens : fitTokens;
    double before = judge.error(original) / tokens;
    int middle = strengths.size() / 2;
    Candidate best = candidate(judge, strengths.get(middle));
    int from = middle;
    for (int step : new int[] {-1, 1}) {
      for (int next = middle + step; next >= 0 && next < strengths.size(); next += step) {
        Candidate candidate = candidate(judge, strengths.get(next));
        if (!(candidate.error() < best.error())) {
          candidate.projection().close();
          break;
        }
        best.projection().close();
        best = candidate;
        from = next;
      }
      if (from != middle) {
        break;
      }
    }
    double after = best.error() / tokens;
    if (before < ROUNDING_ERROR || !(after < before * (1 - MINIMUM_GAIN))) {
      best.projection().close();
      return new Choice(null, new FittedPart(layer, part, 0, before, before));
    }
    return new Choice(
        best.projection(), new FittedPart(layer, part, best.strength(), before, after));
  }

  @Override
  public void close() {
    original.close();
    fit.close();
    validation.close();
  }

  private record Candidate(double strength, Projection projection, double error) {}

  private Candidate candidate(RidgeFit judge, double strength) {
    Projection projection = fit.solve(original, strength);
    return new Candidate(strength, projection, judge.error(projection));
  }
}
