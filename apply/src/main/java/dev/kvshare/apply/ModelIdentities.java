package dev.kvshare.apply;

import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.Fingerprint;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.policy.ModelIdentity;

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
