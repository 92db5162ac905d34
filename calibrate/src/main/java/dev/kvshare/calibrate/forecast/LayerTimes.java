package dev.kvshare.calibrate.forecast;

import dev.kvshare.apply.decoder.MachineSpeed;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.ModelSpec;

/**
 * How long the steps of a calibration take with one layer of a model, in seconds.
 *
 * @param runToken a layer, for each token of a batch
 * @param walkToken a layer part by part, as a repair runs it, for each token
 * @param fitToken what a fit of an output projection adds up, for each token
 * @param solve one solution of such a fit
 * @param judgeToken the distributions of a map and of the unshared model, for each token
 * @param read a layer from the checkpoint
 */
public record LayerTimes(
    double runToken,
    double walkToken,
    double fitToken,
    double solve,
    double judgeToken,
    double read) {
  /** Time of norms, activations, copies and the attention itself, over that of the products. */
  private static final double BESIDE_PRODUCTS = 1.3;

  /** Products in float64 against float32. */
  private static final double DOUBLE_PRECISION = 2.5;

  /** Weights that are read, made wider and packed; seen from a file in the page cache. */
  private static final double READ_BYTES_PER_SECOND = 1e9;

  /**
   * Times without any weights, from operations alone: 2 for a token and weight, 2 T Hq D for
   * attention to T tokens.
   *
   * @param tokens T
   * @param bytesPerElement of a weight in memory
   */
  public static LayerTimes estimated(
      ModelSpec spec, MachineSpeed speed, int tokens, int bytesPerElement) {
    ModelSize size = new ModelSize(spec);
    AttentionSpec attention = spec.blocks().get(spec.layers() - 1).attention();
    double hidden = spec.hiddenSize();
    double heads = (double) attention.queryHeads() * attention.headSize();
    double inputs = fitInputs(spec);
    double product = BESIDE_PRODUCTS / speed.operationsPerSecond();
    double wide = DOUBLE_PRECISION / speed.operationsPerSecond();
    double run = product * (2 * size.multiplied() + 2 * tokens * heads);
    return new LayerTimes(
        run,
        run,
        product * 2 * inputs * (inputs + hidden),
        wide * solveOperations(spec),
        product * 2 * 2 * size.head(),
        size.layer() * bytesPerElement / READ_BYTES_PER_SECOND);
  }

  /** Operations of one solution of the fit of a shared layer's output projection. */
  static double solveOperations(ModelSpec spec) {
    double inputs = fitInputs(spec);
    return inputs * inputs * inputs / 3 + 4 * inputs * inputs * spec.hiddenSize();
  }

  /** What enters the fit of a shared layer's output projection: the heads and the layer's input. */
  static double fitInputs(ModelSpec spec) {
    AttentionSpec attention = spec.blocks().get(spec.layers() - 1).attention();
    return (double) attention.queryHeads() * attention.headSize() + spec.hiddenSize();
  }
}
