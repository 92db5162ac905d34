package dev.kvshare.apply.decoder.script;

import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.family.spec.AttentionSpec.QueryKeyNorm;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;

/** The numbers by which {@code decoder.py} knows what a layer is made of. */
public final class ScriptCodes {

  private ScriptCodes() {}

  public static long of(Placement placement) {
    return switch (placement) {
      case PRE -> 0;
      case POST -> 1;
      case BOTH -> 2;
      case PARALLEL -> 3;
      case AFTER_RESIDUAL -> 4;
    };
  }

  public static long of(Activation activation) {
    return switch (activation) {
      case SILU -> 0;
      case GELU -> 1;
      case GELU_TANH -> 2;
      case RELU -> 3;
    };
  }

  public static long of(LayerParts.Part part) {
    return switch (part) {
      case ATTENTION -> 0;
      case FEED_FORWARD -> 1;
    };
  }

  public static long of(QueryKeyNorm norm) {
    return switch (norm) {
      case NONE -> 0;
      case PER_HEAD -> 1;
      case EACH_HEAD -> 2;
      case WHOLE -> 3;
    };
  }

  /** The code of a norm, which may be null. */
  public static long of(NormSpec norm, boolean biased) {
    if (norm == null || norm.kind() != NormSpec.Kind.LAYER) {
      return 0;
    }
    return biased ? 1 : 2;
  }
}
