package dev.kvshare.calibrate.forecast;

import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec;

/** Numbers of weights of a model, from its description alone. */
record ModelSize(ModelSpec spec) {

  /** All weights as they are kept: a tied output head is a copy of the embedding. */
  double weights() {
    double elements = outer() + (spec.tiedHead() ? size(WeightRole.EMBEDDING) : 0);
    for (BlockSpec block : spec.blocks()) {
      elements += elements(block);
    }
    return elements;
  }

  /** Weights outside the layers. */
  double outer() {
    return spec.weights().values().stream().mapToDouble(ModelSize::size).sum();
  }

  /** Weights of the output head. */
  double head() {
    return size(spec.tiedHead() ? WeightRole.EMBEDDING : WeightRole.HEAD);
  }

  /** Weights of the largest layer. */
  double largestLayer() {
    return spec.blocks().stream().mapToDouble(ModelSize::elements).max().orElse(0);
  }

  /** Weights of a layer, on average. */
  double layer() {
    return spec.blocks().stream().mapToDouble(ModelSize::elements).average().orElse(0);
  }

  /** Weights of a layer that a token is multiplied with: of routed experts the chosen ones. */
  double multiplied() {
    return spec.blocks().stream().mapToDouble(ModelSize::multiplied).average().orElse(0);
  }

  private double size(WeightRole role) {
    WeightSpec weight = spec.weights().get(role);
    return weight == null ? 0 : size(weight);
  }

  private static double elements(BlockSpec block) {
    return block.weights().values().stream().mapToDouble(ModelSize::size).sum();
  }

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
