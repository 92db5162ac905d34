package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.model.ModelConfig;

/** Reads the name of an activation function. */
public final class Activations {

  private Activations() {}

  /**
   * The activation under a key.
   *
   * @param absent the family's where the key is absent
   */
  public static Activation read(ModelConfig config, String key, Activation absent) {
    String name = config.string(key, null);
    if (name == null) {
      return absent;
    }
    return switch (name) {
      case "silu", "swish" -> Activation.SILU;
      case "gelu" -> Activation.GELU;
      case "gelu_new", "gelu_fast", "gelu_pytorch_tanh" -> Activation.GELU_TANH;
      case "relu" -> Activation.RELU;
      default ->
          throw config.invalid(
              key,
              "one of silu, swish, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu is expected");
    };
  }
}
