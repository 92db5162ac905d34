package dev.kvshare.calibrate.forecast;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.decoder.LayerParts.KeyValues;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.LinearFit;
import dev.kvshare.apply.decoder.LinearFits;
import dev.kvshare.apply.decoder.Projection;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.plan.SharingMap;
import java.util.List;
import java.util.stream.LongStream;

/**
 * Measures {@link LayerTimes} with the top layer of a model, on made-up tokens. Letters: B batch, T
 * tokens, E hidden size.
 */
public final class LayerStopwatch {
  private static final int BATCH_TOKENS = 512;
  private static final int FEWEST_ROUNDS = 3;

  /** A step is repeated that long, so that another process that runs meanwhile counts less. */
  private static final double SECONDS = 0.3;

  /** Larger fits are not solved to be timed; their time grows with the third power. */
  private static final long LARGEST_FIT = 1536;

  private final Decoder decoder;
  private final ModelSpec spec;
  private final int layer;

  /**
   * @param decoder of a model with one layer in memory, so that reading is measured too
   */
  public LayerStopwatch(Decoder decoder) {
    this.decoder = decoder;
    this.spec = decoder.spec();
    this.layer = spec.layers() - 1;
  }

  /**
   * Measures, which takes a few seconds, or the time of about ten layers if that is longer.
   *
   * @param tokens T of a sample
   */
  public LayerTimes measure(int tokens) {
    int batch = Math.max(1, BATCH_TOKENS / tokens);
    double rows = (double) batch * tokens;
    SharingMap unshared = SharingMap.identity(spec.layers());
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(unshared, batch, tokens);
        NDArray ids = ids(manager, batch, tokens);
        NDArray x = decoder.embed(ids, cache)) {
      double run = least(() -> decoder.layers(x, cache, layer, layer + 1).close());
      return new LayerTimes(
          run / rows,
          least(() -> walk(x)) / rows,
          fitSeconds(x) / rows,
          solveSeconds(manager),
          judgeSeconds(manager, x) / tokens,
          readSeconds(manager));
    }
  }

  /** Two layers in turn are read each time. */
  private double readSeconds(NDManager manager) {
    return least(
            () -> {
              for (int number : List.of(0, layer)) {
                decoder.weight(number, WeightRole.OUTPUT, manager).close();
              }
            })
        / 2;
  }

  private NDArray ids(NDManager manager, int batch, int tokens) {
    long vocabulary = spec.vocabularySize();
    long[] ids = LongStream.range(0, (long) batch * tokens).map(i -> i * 31 % vocabulary).toArray();
    return manager.create(ids, new Shape(batch, tokens));
  }

  private void walk(NDArray x) {
    LayerParts parts = decoder.parts();
    try (KeyValues cache = parts.newKeyValues(layer, x);
        NDArray heads = parts.heads(layer, x, cache, true);
        NDArray attended = parts.project(layer, Part.ATTENTION, heads);
        NDArray between = parts.add(layer, Part.ATTENTION, x, attended);
        NDArray inner = parts.inner(layer, x, between);
        NDArray projected = parts.project(layer, Part.FEED_FORWARD, inner)) {
      parts.add(layer, Part.FEED_FORWARD, between, projected).close();
    }
  }

  /** What a fit of a batch takes: the target and the weight of each token, and the sums. */
  private double fitSeconds(NDArray x) {
    LayerParts parts = decoder.parts();
    try (LinearFits fits = decoder.newFits();
        KeyValues cache = parts.newKeyValues(layer, x);
        NDArray written = parts.heads(layer, x, cache, true);
        NDArray projected = parts.project(layer, Part.ATTENTION, written);
        NDArray entering = parts.headsAndOwn(layer, x, cache);
        LinearFit fit = fits.newFit(columns(entering), columns(written), spec.hiddenSize())) {
      return least(
          () -> {
            try (NDArray target = parts.target(layer, Part.ATTENTION, x, x, projected);
                NDArray weights = parts.tokenWeights(layer, x, projected)) {
              fit.add(entering, target, weights);
            }
          });
    }
  }

  private static long columns(NDArray entering) {
    return entering.getShape().get(2);
  }

  private double solveSeconds(NDManager manager) {
    AttentionSpec attention = spec.blocks().get(layer).attention();
    long wanted = (long) attention.queryHeads() * attention.headSize() + spec.hiddenSize();
    long inputs = Math.min(wanted, LARGEST_FIT);
    long outputs = Math.max(1, spec.hiddenSize() * inputs / wanted);
    try (LinearFits fits = decoder.newFits();
        LinearFit fit = fits.newFit(inputs, inputs, outputs);
        NDArray entering = manager.randomNormal(new Shape(1, BATCH_TOKENS, inputs));
        NDArray targets = manager.randomNormal(new Shape(1, BATCH_TOKENS, outputs));
        NDArray weights = manager.ones(new Shape(1, BATCH_TOKENS));
        Projection start =
            new Projection(
                manager.zeros(new Shape(outputs, inputs)), manager.zeros(new Shape(outputs)))) {
      fit.add(entering, targets, weights);
      double seconds =
          least(
              () -> {
                try (Projection solution = fit.solve(start, 1)) {
                  fit.error(solution);
                }
              });
      return seconds * Math.pow((double) wanted / inputs, 3);
    }
  }

  /** The distributions at the tokens of one window. */
  private double judgeSeconds(NDManager manager, NDArray x) {
    int tokens = (int) x.getShape().get(1);
    try (NDArray row = x.get("0:1");
        NDArray targets = manager.create(new long[tokens], new Shape(1, tokens))) {
      return least(() -> decoder.divergence(row, row, targets));
    }
  }

  /** The least time of some rounds; a first one is not counted. */
  private static double least(Runnable step) {
    step.run();
    double least = Double.POSITIVE_INFINITY;
    double sum = 0;
    for (int round = 0; round < FEWEST_ROUNDS || sum < SECONDS; round++) {
      double seconds = seconds(step);
      least = Math.min(least, seconds);
      sum += seconds;
    }
    return least;
  }

  private static double seconds(Runnable step) {
    long start = System.nanoTime();
    step.run();
    return (System.nanoTime() - start) / 1e9;
  }
}
