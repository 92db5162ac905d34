package dev.kvshare.eval;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.eval.quality.Variant;

/** Bytes of the KV cache of one sequence at the end of a text. */
record KeptBytes(LoadedModel model) {

  /** Of the unshared model, without windows of its own. */
  long unshared(int tokens) {
    ModelSpec spec = model.decoder().spec();
    return spec.kvUse(spec.plan()).unsharedBytes(tokens, elementBytes());
  }

  /** Of the layers that own a cache under the plan, each number in the type of computation. */
  long owned(Variant variant, int tokens) {
    return model.decoder().spec().kvUse(variant.options().plan()).bytes(tokens, elementBytes());
  }

  /**
   * What is kept under plan and cache policy.
   *
   * @param compressedBytes what the cache itself said under a cache policy
   */
  long kept(Variant variant, int tokens, long compressedBytes) {
    long owned = owned(variant, tokens);
    if (Baselines.is(variant) && variant.cachePolicy() != null) {
      // The integers, and a float32 scale for each token of a head.
      double bytes = (double) variant.cachePolicy().format().bits() / Byte.SIZE;
      double scale = (double) Float.BYTES / model.decoder().spec().headSize();
      return Math.round(owned * (bytes + scale) / elementBytes());
    }
    return variant.cachePolicy() == null ? owned : compressedBytes;
  }

  /** The part of the unshared model's bytes that is kept. */
  double fraction(Variant variant, int tokens, long compressedBytes) {
    return (double) kept(variant, tokens, compressedBytes) / unshared(tokens);
  }

  private int elementBytes() {
    return model.key(null).computeType().bytes();
  }
}
