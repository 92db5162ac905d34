package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** Granite: Llama with scaled embedding, residual stream, scores and logits. */
final class GraniteFamily {
  private GraniteFamily() {}

  static ModelSpec granite(ModelConfig config, Set<String> tensors) {
    Dimensions sizes = Dimensions.read(config);
    AttentionSpec attention =
        LlamaFamily.rotated(config, sizes, 10_000)
            .withScale(config.number("attention_multiplier", 1));
    LlamaFamily model = new LlamaFamily(config, sizes);
    model.configuredBiases();
    model.attention = layer -> attention;
    model.residualScale = config.number("residual_multiplier", 1);
    model.embeddingScale = config.number("embedding_multiplier", 1);
    model.logitScale = 1 / config.above0("logits_scaling", 1);
    return model.build();
  }
}
