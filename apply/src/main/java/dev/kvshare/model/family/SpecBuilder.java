package dev.kvshare.model.family;

import dev.kvshare.model.ModelConfig;
import dev.kvshare.policy.SharingPlan;
import java.util.ArrayList;
import java.util.List;

/** Collects a {@link ModelSpec}; what is not set is what Llama does. */
final class SpecBuilder {
  private final ModelConfig config;
  private final Dimensions sizes;
  private final List<BlockSpec> blocks = new ArrayList<>();
  private Weights weights = new Weights("");
  private double embeddingScale = 1;
  private int positionOffset;
  private NormSpec finalNorm;
  private double logitScale = 1;
  private double logitSoftCap;
  private SharingPlan plan;

  SpecBuilder(ModelConfig config, Dimensions sizes) {
    this.config = config;
    this.sizes = sizes;
    this.plan = SharingPlan.identity(sizes.layers());
  }

  /** What the token embedding is multiplied by. */
  SpecBuilder embeddingScale(double scale) {
    embeddingScale = scale;
    return this;
  }

  /** Rows before the first learned position. */
  SpecBuilder positionOffset(int offset) {
    positionOffset = offset;
    return this;
  }

  /** The norm before the head. */
  SpecBuilder finalNorm(NormSpec norm) {
    finalNorm = norm;
    return this;
  }

  /** What the logits are multiplied by. */
  SpecBuilder logitScale(double scale) {
    logitScale = scale;
    return this;
  }

  /** The bound of the logits. */
  SpecBuilder logitSoftCap(double softCap) {
    logitSoftCap = softCap;
    return this;
  }

  /** How the layers share. */
  SpecBuilder plan(SharingPlan trained) {
    plan = trained;
    return this;
  }

  /** The tensors outside the layers. */
  SpecBuilder outer(Weights outer) {
    weights = outer;
    return this;
  }

  /** The next layer. */
  SpecBuilder layer(BlockSpec block) {
    blocks.add(block);
    return this;
  }

  ModelSpec build() {
    return new ModelSpec(
        config.modelType(),
        sizes.vocabulary(),
        sizes.hidden(),
        sizes.maxPositions(),
        embeddingScale,
        positionOffset,
        finalNorm,
        logitScale,
        logitSoftCap,
        blocks,
        weights.build(),
        plan);
  }
}
