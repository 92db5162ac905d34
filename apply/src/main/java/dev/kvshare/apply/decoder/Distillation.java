package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.decoder.script.GradientCall;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SortedMap;

/**
 * Trains weights of a model under a sharing plan towards what the model computes unshared: the loss
 * is the divergence KL(unshared || shared) of next-token distributions. The layers below the first
 * reduced one are the same in both and run once, without gradients. Made by {@link
 * Decoder#newDistillation}. Letters: B batch, T tokens, V vocabulary.
 *
 * <p>Weights that are trained are float32, the residual stream and everything between products too;
 * products are bfloat16 where oneDNN has them, else float32. Memory: a copy of the layers from the
 * first reduced one on, 16 bytes for each trained number, what these layers keep of one batch for
 * its gradient, and a few times 256 x V numbers.
 */
public final class Distillation implements AutoCloseable {
  private final Decoder decoder;
  private final RotaryTables rotary;
  private final SharingMap map;
  private final PtNDManager manager;
  private final ScriptModule script;
  private final TrainedWeights trained;
  private final DistillationArguments arguments;

  /**
   * @param options the plan, and the weights to begin with
   * @param roles the matrices that are trained
   */
  Distillation(
      Decoder decoder,
      KvCache.Storage storage,
      RotaryTables rotary,
      CacheOptions options,
      Set<WeightRole> roles) {
    this.decoder = decoder;
    this.rotary = rotary;
    this.map = options.map();
    if (options.plan().reducedLayers() == 0 || map.hasUpwardSources()) {
      throw new IllegalArgumentException(
          "a plan under which no layer shares or is windowed, or with sources above their readers, cannot be trained for: "
              + options.plan());
    }
    this.manager = (PtNDManager) storage.parent().newSubManager();
    this.script = ScriptModule.differentiable(manager, "decoder.py", "distil.py");
    this.trained = new TrainedWeights(script, storage.spec(), manager);
    this.arguments = new DistillationArguments(storage, script, manager, options, roles, trained);
  }

  /**
   * Adds to the gradient of the loss.
   *
   * @param ids int64 [B, T], windows that begin at position 0
   * @param tokens of all batches until the next step, of whose loss the mean is taken
   * @return the divergence at all B x T tokens, added up
   */
  public double add(NDArray ids, long tokens) {
    int batch = (int) ids.getShape().get(0);
    int length = (int) ids.getShape().get(1);
    int from = arguments.firstLayer();
    SharingMap unshared = SharingMap.identity(map.layers());
    try (PtNDManager scratch = (PtNDManager) manager.newSubManager();
        KvCache cache = decoder.newCache(unshared, batch, length);
        NDArray embedded = decoder.embed(ids, cache);
        NDArray entering = decoder.layers(embedded, cache, 0, from);
        NDArray reference = decoder.layers(entering, cache, from, map.layers())) {
      cache.advance(length);
      List<PtNDArray> lower = new ArrayList<>();
      lower.add(arguments.none(scratch));
      for (int owner : arguments.lowerOwners()) {
        for (NDArray tensor : List.of(cache.keys(owner), cache.values(owner))) {
          tensor.attach(scratch);
          lower.add((PtNDArray) tensor);
        }
      }
      GradientCall call =
          new GradientCall(scratch, "distil")
              .with((PtNDArray) entering)
              .with((PtNDArray) reference)
              .with(arguments.weights())
              .with(trained.weights())
              .with(trained.gradients())
              .with(lower)
              .with(arguments.model())
              .with(arguments.tables(scratch, rotary::cosine))
              .with(arguments.tables(scratch, rotary::sine))
              .with(arguments.numbers())
              .with(arguments.fractions(scratch, 1. / tokens));
      try (PtNDArray sum = script.run(scratch, call)) {
        return sum.getDouble();
      }
    }
  }

  /**
   * Changes the weights along the gradient, cut to a length of 1, by Adam with averages over about
   * 10 and 50 steps, and makes the gradient zero.
   *
   * @param rate how much a number changes at most, about
   * @return the length of the gradient before it was cut
   */
  public double step(double rate) {
    return trained.step(rate);
  }

  /**
   * The trained weights as they are now.
   *
   * @param target owns them
   * @return float32, as {@link Decoder#newOverrides} takes them
   */
  public SortedMap<String, NDArray> weights(NDManager target) {
    return trained.weights(target);
  }

  /** The gradient since the last step, otherwise as {@link #weights}. */
  public SortedMap<String, NDArray> gradients(NDManager target) {
    return trained.gradients(target);
  }

  @Override
  public void close() {
    trained.close();
    script.close();
    manager.close();
  }
}
