package dev.kvshare.calibrate.score;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.LayerGradients;
import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.decoder.LayerParts.KeyValues;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.LayerAction;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.capture.SampleBatch;
import dev.kvshare.calibrate.repair.fit.Fits;
import dev.kvshare.calibrate.repair.fit.ProjectionFit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.IntConsumer;

/**
 * Scores every layer and every action by one pass of the unshared model forward and one backward.
 * Letters: B passages, T tokens, E hidden size, Hq query heads, D head size.
 *
 * <ol>
 *   <li>Run the model forward; keep what enters each layer.
 *   <li>At each position draw a next token from the model's own prediction. The gradient of the sum
 *       of their log-likelihoods goes down layer by layer, each computed again from what enters it.
 *   <li>g(t) is that gradient at the attention output of a layer, d(t) what an action changes there
 *       from the exact inputs: score = 1/2 mean over t of (g(t) d(t))^2.
 * </ol>
 *
 * <p>The mean of (g d)^2 is the quadratic form of the Fisher information, which is the second-order
 * term of the KL divergence (Amari, "Natural gradient works efficiently in learning", section 2).
 * For a layer that shares, d is what remains when its output projection was refitted by ridge
 * regression, on one half of the passages; the other half is scored.
 *
 * <p>Memory for N tokens: what enters each layer (L x N x E), and keys and values of the layers
 * that are still read.
 */
public final class Scoring implements AutoCloseable {
  /** Most tokens that run through a layer at once. */
  private static final int BATCH_TOKENS = 2048;

  /** Regularisation of the refitted projection, towards the checkpoint's. */
  private static final List<Double> STRENGTH = List.of(1e-1);

  private final Decoder decoder;
  private final ModelSpec spec;
  private final NDManager manager;
  private final LayerGradients gradients;
  private final LayerParts parts;
  private final Fits fits;
  private final List<SampleBatch> batches;

  /** The gradient, float32 [B, T, E] of each batch, by what leaves the layers done so far. */
  private final NDArray[] slopes;

  /** What enters each layer [B, T, E], by layer and batch. */
  private final NDArray[][] entering;

  private final Map<Integer, List<Attention>> attentions = new HashMap<>();

  /** The unshared attention of a layer: keys, values and what the heads give [B, T, Hq * D]. */
  private record Attention(KeyValues cache, NDArray heads) implements AutoCloseable {
    @Override
    public void close() {
      cache.close();
      heads.close();
    }
  }

  /** Nothing is run yet; passages are token ids, one array each. */
  public Scoring(Decoder decoder, List<int[]> passages) {
    this.decoder = decoder;
    this.spec = decoder.spec();
    this.manager = decoder.newManager();
    this.gradients = decoder.newGradients(Scoring.class, "scores.py");
    this.parts = decoder.parts();
    this.fits = new Fits(decoder);
    long tokens = passages.stream().mapToLong(ids -> ids.length).sum();
    this.batches = SampleBatch.of(passages, (int) Math.min(BATCH_TOKENS, tokens / 2));
    this.slopes = new NDArray[batches.size()];
    this.entering = new NDArray[spec.layers() + 1][batches.size()];
  }

  /**
   * Scores actions, once.
   *
   * @param actions of each layer
   * @param seed of the tokens that are drawn
   * @param done told how many of 2 L layers are done, forward and backward
   */
  public Scores score(List<List<LayerAction>> actions, long seed, IntConsumer done) {
    int layers = spec.layers();
    forward(done);
    drawTokens(new Random(seed));
    List<Map<LayerAction, Double>> scores = new ArrayList<>();
    for (int layer = layers - 1; layer >= 0; layer--) {
      scores.add(0, layer(layer, actions.get(layer)));
      done.accept(2 * layers - layer);
    }
    return new Scores(
        scores, batches.stream().mapToLong(batch -> (long) batch.size() * batch.tokens()).sum());
  }

  private void forward(IntConsumer done) {
    int layers = spec.layers();
    for (int batch = 0; batch < batches.size(); batch++) {
      SampleBatch of = batches.get(batch);
      try (NDManager scratch = decoder.newManager();
          KvCache cache = decoder.newCache(SharingMap.identity(layers), of.size(), 1)) {
        NDArray ids = scratch.create(of.ids(), new Shape(of.size(), of.tokens()));
        entering[0][batch] = own(decoder.embed(ids, cache));
      }
    }
    for (int layer = 0; layer < layers; layer++) {
      CalibrationException.Interrupted.check();
      for (int batch = 0; batch < batches.size(); batch++) {
        entering[layer + 1][batch] = own(behind(layer, entering[layer][batch]));
      }
      done.accept(layer + 1);
    }
  }

  /** What a layer gives. */
  private NDArray behind(int layer, NDArray x) {
    try (KeyValues cache = parts.newKeyValues(layer, x);
        NDArray heads = parts.heads(layer, x, cache, true);
        NDArray attended = parts.project(layer, Part.ATTENTION, heads);
        NDArray between = parts.add(layer, Part.ATTENTION, x, attended);
        NDArray inner = parts.inner(layer, x, between);
        NDArray projected = parts.project(layer, Part.FEED_FORWARD, inner)) {
      return parts.add(layer, Part.FEED_FORWARD, between, projected);
    }
  }

  private void drawTokens(Random random) {
    try (NDManager scratch = decoder.newManager()) {
      List<Object> head = gradients.head(scratch);
      for (int batch = 0; batch < batches.size(); batch++) {
        SampleBatch of = batches.get(batch);
        float[] uniform = new float[of.size() * of.tokens()];
        for (int i = 0; i < uniform.length; i++) {
          uniform[i] = random.nextFloat();
        }
        NDArray last = entering[spec.layers()][batch];
        NDArray drawn = scratch.create(uniform, new Shape(of.size(), of.tokens()));
        slopes[batch] = own(gradients.run(manager, "score_head", last, drawn, head).get(0));
        last.close();
      }
    }
  }

  /** Scores the actions of a layer, and takes the gradient to the layer below. */
  private Map<LayerAction, Double> layer(int layer, List<LayerAction> actions) {
    CalibrationException.Interrupted.check();
    int count = batches.size();
    NDArray[] byHeads = new NDArray[count];
    NDArray[] byAttention = new NDArray[count];
    Map<LayerAction, Double> scores = new LinkedHashMap<>();
    try (NDManager scratch = decoder.newManager()) {
      Map<Integer, List<Object>> copies = new HashMap<>();
      for (int batch = 0; batch < count; batch++) {
        List<Object> copied =
            copies.computeIfAbsent(
                batches.get(batch).tokens(), tokens -> gradients.layer(layer, tokens, scratch));
        List<? extends NDArray> found =
            gradients.run(scratch, "score_layer", entering[layer][batch], slopes[batch], copied);
        slopes[batch].close();
        slopes[batch] = own(found.get(0));
        byHeads[batch] = found.get(1);
        byAttention[batch] = found.get(2);
      }
      for (LayerAction action : actions) {
        if (action instanceof LayerAction.Window window) {
          scores.put(action, window(layer, window, byHeads));
        } else if (action instanceof LayerAction.Share share) {
          scores.put(action, share(layer, share.source(), byAttention));
        }
      }
    }
    attention(layer).forEach(Attention::close);
    attentions.remove(layer);
    for (NDArray x : entering[layer]) {
      x.close();
    }
    return scores;
  }

  private double window(int layer, LayerAction.Window window, NDArray[] gradient) {
    Plan plan = Plan.identity(spec.layers()).withWindowed(layer, window.last(), window.first());
    double sum = 0;
    long tokens = 0;
    try (LayerParts windowed = decoder.parts(plan)) {
      for (int batch = 0; batch < gradient.length; batch++) {
        Attention own = attention(layer).get(batch);
        try (NDArray given = windowed.heads(layer, entering[layer][batch], own.cache(), false)) {
          sum += squares(gradient[batch], given, own.heads());
        }
        tokens += tokens(batch);
      }
    }
    return sum / tokens;
  }

  private double share(int layer, int source, NDArray[] gradient) {
    NDArray[] inputs = new NDArray[gradient.length];
    double sum = 0;
    long tokens = 0;
    try (NDManager scratch = decoder.newManager();
        ProjectionFit fit =
            new ProjectionFit(decoder, fits, scratch, layer, Part.ATTENTION, true)) {
      NDArray[] wanted = new NDArray[gradient.length];
      for (int batch = 0; batch < gradient.length; batch++) {
        NDArray x = entering[layer][batch];
        KeyValues read = attention(source).get(batch).cache();
        inputs[batch] = own(parts.headsWith(null, layer, x, read, true), scratch);
        wanted[batch] =
            own(parts.project(layer, Part.ATTENTION, attention(layer).get(batch).heads()), scratch);
        if (batches.size() == 1 || !judges(batch)) {
          fit.add(inputs[batch], x, x, wanted[batch], false);
        }
      }
      Projection projection = fit.choose(STRENGTH).projection();
      for (int batch = 0; batch < gradient.length; batch++) {
        if (judges(batch)) {
          try (NDArray given =
              projection == null
                  ? parts.project(layer, Part.ATTENTION, inputs[batch])
                  : parts.project(projection, inputs[batch])) {
            sum += squares(gradient[batch], given, wanted[batch]);
          }
          tokens += tokens(batch);
        }
      }
    }
    return sum / tokens;
  }

  /** Whether a batch is scored after fits that others made; a single one does both. */
  private boolean judges(int batch) {
    return batches.size() == 1 || batch % 2 == 1;
  }

  private long tokens(int batch) {
    return (long) batches.get(batch).size() * batches.get(batch).tokens();
  }

  /** The sum over tokens of (g d)^2 / 2. */
  private double squares(NDArray gradient, NDArray given, NDArray wanted) {
    try (NDManager scratch = decoder.newManager()) {
      NDArray each = gradients.run(scratch, "score_tokens", gradient, given, wanted).get(0);
      double sum = 0;
      for (float square : each.toFloatArray()) {
        sum += square;
      }
      return sum;
    }
  }

  private List<Attention> attention(int layer) {
    return attentions.computeIfAbsent(
        layer,
        missing -> {
          List<Attention> made = new ArrayList<>();
          for (NDArray x : entering[missing]) {
            KeyValues cache = parts.newKeyValues(missing, x);
            made.add(new Attention(cache, own(parts.heads(missing, x, cache, true))));
          }
          return made;
        });
  }

  private NDArray own(NDArray tensor) {
    return own(tensor, manager);
  }

  private static NDArray own(NDArray tensor, NDManager owner) {
    tensor.attach(owner);
    return tensor;
  }

  @Override
  public void close() {
    fits.close();
    gradients.close();
    manager.close();
  }
}
