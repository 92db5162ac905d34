package dev.kvshare.apply.policy;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Fingerprint;

/** Tells by what a policy knows its model. */
public final class ModelIdentities {
  private ModelIdentities() {}

  /** Returns the identity of an opened model; reads a sample of its weights. */
  public static ModelIdentity of(Checkpoint checkpoint, ModelSpec spec) {
    return new ModelIdentity(
        spec.modelType(),
        spec.layers(),
        spec.queryHeads(),
        spec.keyValueHeads(),
        spec.headSize(),
        Fingerprint.of(checkpoint));
  }
}
