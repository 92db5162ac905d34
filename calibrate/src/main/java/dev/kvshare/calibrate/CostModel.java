package dev.kvshare.calibrate;

import dev.kvshare.model.family.AttentionSpec;
import dev.kvshare.model.family.BlockSpec;
import dev.kvshare.model.family.FeedForwardSpec;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.model.family.WeightRole;
import dev.kvshare.model.family.WeightSpec;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.runtime.MachineSpeed;

/**
 * What a calibration costs, from the shapes of a model and the speed of a machine alone.
 *
 * <p>An evaluation (one layer on one sample of T tokens) takes 2 operations a token and weight that
 * it multiplies with, and 2 T² Hq D for causal attention. A batch reads the weights of its layers
 * once; whichever of computing and reading takes longer counts. Norms, activations and copies add
 * {@link #OVERHEAD}. A tested candidate runs half of the layers on average.
 *
 * @param spec the model
 * @param bytesPerElement bytes of a weight and of a state
 * @param speed the machine
 */
public record CostModel(ModelSpec spec, int bytesPerElement, MachineSpeed speed) {
  /** Assumed time over that of the products alone: a margin, not yet compared with real runs. */
  private static final double OVERHEAD = 1.35;

  private static final int BATCH_TOKENS = 512;

  /**
   * A prediction.
   *
   * @param evaluations layers times samples
   * @param seconds of computation, without loading
   */
  public record Cost(long evaluations, double seconds) {}

  /**
   * The cost of ranking and search.
   *
   * @param tests candidates that are tested
   */
  public Cost search(int samples, int tokens, int tests) {
    long evaluations =
        (long) spec.layers() * samples + Math.round(tests * samples * spec.layers() / 2.0);
    double products = 0;
    double bytes = 0;
    double attention = 0;
    for (BlockSpec block : spec.blocks()) {
      products += 2.0 * tokens * multiplied(block);
      bytes += (double) bytesPerElement * elements(block);
      AttentionSpec heads = block.attention();
      attention += 2.0 * tokens * tokens * heads.queryHeads() * heads.headSize();
    }
    int together = Math.max(1, Math.min(samples, BATCH_TOKENS / tokens));
    double computing = (products + attention) / speed.operationsPerSecond();
    double reading = bytes / speed.bytesPerSecond() / together;
    double each = OVERHEAD * Math.max(computing, reading) / spec.layers();
    return new Cost(evaluations, evaluations * each);
  }

  /** Bytes of all weights as they are kept. */
  public long weightBytes() {
    double elements = 0;
    for (WeightSpec weight : spec.weights().values()) {
      elements += size(weight);
    }
    if (spec.tiedHead() && spec.weights().containsKey(WeightRole.EMBEDDING)) {
      elements += size(spec.weights().get(WeightRole.EMBEDDING));
    }
    for (BlockSpec block : spec.blocks()) {
      elements += elements(block);
    }
    return (long) (elements * bytesPerElement);
  }

  /**
   * Bytes of hidden states, keys and values that are kept of the accepted map and a candidate.
   *
   * @param maxStateBytes the limit for them
   */
  public long stateBytes(int samples, int tokens, long maxStateBytes) {
    long each = (long) samples * tokens;
    long states = 2 * each * spec.layers() * spec.hiddenSize() * bytesPerElement;
    SharingMap unshared = SharingMap.identity(spec.layers());
    long keysAndValues = 2 * each * spec.kvBytesPerToken(unshared, bytesPerElement);
    return Math.min(states, maxStateBytes) + keysAndValues;
  }

  private static double elements(BlockSpec block) {
    return block.weights().values().stream().mapToDouble(CostModel::size).sum();
  }

  /** Weights that a token is multiplied with: of routed experts only the chosen ones. */
  private static double multiplied(BlockSpec block) {
    double elements = elements(block);
    FeedForwardSpec.Experts experts = block.feedForward().experts();
    if (experts != null) {
      double routed =
          size(block.weights().get(WeightRole.EXPERTS_GATE_UP))
              + size(block.weights().get(WeightRole.EXPERTS_DOWN));
      elements -= routed * (experts.count() - experts.perToken()) / experts.count();
    }
    return elements;
  }

  private static double size(WeightSpec weight) {
    return weight.shape().stream().mapToDouble(Long::doubleValue).reduce(1, (a, b) -> a * b);
  }
}
