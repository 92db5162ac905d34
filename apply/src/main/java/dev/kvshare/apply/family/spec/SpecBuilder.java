package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.plan.Plan;
import java.util.ArrayList;
import java.util.List;

/** Collects a {@link ModelSpec}; what is not set is what Llama does. */
public final class SpecBuilder {
  private final ModelConfig config;
  private final Dimensions sizes;
  private final List<BlockSpec> blocks = new ArrayList<>();
  private Weights weights = new Weights("");
  private double embeddingScale = 1;
  private int positionOffset;
  private NormSpec finalNorm;
  private double logitScale = 1;
  private double logitSoftCap;
  private Plan plan;

  public SpecBuilder(ModelConfig config, Dimensions sizes) {
    this.config = config;
    this.sizes = sizes;
    this.plan = Plan.identity(sizes.layers());
  }

  /** What the token embedding is multiplied by. */
  public SpecBuilder embeddingScale(double scale) {
    embeddingScale = scale;
    return this;
  }

  /** Rows before the first learned position. */
  public SpecBuilder positionOffset(int offset) {
    positionOffset = offset;
    return this;
  }

  /** The norm before the head. */
  public SpecBuilder finalNorm(NormSpec norm) {
    finalNorm = norm;
    return this;
  }

  /** What the logits are multiplied by. */
  public SpecBuilder logitScale(double scale) {
    logitScale = scale;
    return this;
  }

  /** The bound of the logits. */
  public SpecBuilder logitSoftCap(double softCap) {
    logitSoftCap = softCap;
    return this;
  }

  /** How the layers share. */
  public SpecBuilder plan(Plan trained) {
    plan = trained;
    return this;
  }

  /** The tensors outside the layers. */
  public SpecBuilder outer(Weights outer) {
    weights = outer;
    return this;
  }

  /** The next layer. */
  public SpecBuilder layer(BlockSpec block) {
    blocks.add(block);
    return this;
  }

  public ModelSpec build() {
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
