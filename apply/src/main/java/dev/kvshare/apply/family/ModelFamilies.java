package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.WeightCheck;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BiFunction;

/**
 * The families that kvshare knows. Each is a function that reads {@code config.json} and names the
 * tensors; it is also given the names of all tensors, for families that have several ways to name
 * them, and throws {@link CheckpointException.Unsupported} for what the decoder does not compute.
 */
public final class ModelFamilies {
  private static final Map<String, BiFunction<ModelConfig, Set<String>, ModelSpec>> FAMILIES =
      Map.ofEntries(
          Map.entry("gemma2", GemmaFamily::gemma2),
          Map.entry("gemma3_text", GemmaFamily::gemma3),
          Map.entry("gpt2", Gpt2Family::gpt2),
          Map.entry("gpt_neox", GptNeoxFamily::gptNeox),
          Map.entry("granite", GraniteFamily::granite),
          Map.entry("internlm2", InternLm2Family::internLm2),
          Map.entry("lckv-llama", LckvLlamaFamily::lckvLlama),
          Map.entry("llama", LlamaFamily::llama),
          Map.entry("mistral", MistralFamily::mistral),
          Map.entry("mixtral", MistralFamily::mixtral),
          Map.entry("olmo2", Olmo2Family::olmo2),
          Map.entry("opt", OptFamily::opt),
          Map.entry("phi3", Phi3Family::phi3),
          Map.entry("qwen2", QwenFamily::qwen2),
          Map.entry("qwen3", QwenFamily::qwen3),
          Map.entry("qwen3_moe", QwenFamily::qwen3Moe),
          Map.entry("smollm3", SmolLm3Family::smolLm3),
          Map.entry("stablelm", StableLmFamily::stableLm),
          Map.entry("starcoder2", Starcoder2Family::starcoder2));

  private ModelFamilies() {}

  /** The values of {@code model_type} that are understood, sorted. */
  public static Set<String> modelTypes() {
    return new TreeSet<>(FAMILIES.keySet());
  }

  /** Describes what a checkpoint computes; refuses unknown families and unfitting tensors. */
  public static ModelSpec spec(Checkpoint checkpoint) {
    ModelSpec spec = spec(checkpoint.config(), checkpoint.tensors().keySet());
    return WeightCheck.checked(spec, checkpoint);
  }

  /** Describes what a configuration asks for where no weights are at hand. */
  public static ModelSpec spec(ModelConfig config) {
    return spec(config, Set.of());
  }

  /** Describes what a configuration asks for; every key must be understood. */
  static ModelSpec spec(ModelConfig config, Set<String> tensors) {
    String type = config.string("model_type", "");
    if (!FAMILIES.containsKey(type)) {
      throw config.unsupported("model_type", "but kvshare computes " + modelTypes());
    }
    ModelSpec spec = FAMILIES.get(type).apply(config, tensors);
    ConfigKeys.refuseUnknown(config);
    return spec;
  }
}
