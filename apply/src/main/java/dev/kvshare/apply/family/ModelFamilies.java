package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.ConfigKeys;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.WeightCheck;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** The families that kvshare knows. */
public final class ModelFamilies {
  private static final List<ModelFamily> FAMILIES =
      List.of(
          new LlamaFamily(),
          new LckvLlamaFamily(),
          new MistralFamily(),
          new Qwen2Family(),
          new Qwen3Family(),
          new Gemma2Family(),
          new Gemma3Family(),
          new Phi3Family(),
          new Olmo2Family(),
          new GraniteFamily(),
          new SmolLm3Family(),
          new Starcoder2Family(),
          new StableLmFamily(),
          new Gpt2Family(),
          new GptNeoxFamily(),
          new OptFamily(),
          new MixtralFamily(),
          new Qwen3MoeFamily(),
          new InternLm2Family());

  private ModelFamilies() {}

  /** The values of {@code model_type} that are understood, sorted. */
  public static Set<String> modelTypes() {
    Set<String> types = new TreeSet<>();
    FAMILIES.forEach(family -> types.addAll(family.modelTypes()));
    return types;
  }

  /**
   * Describes what a checkpoint computes, and checks that its tensors fit.
   *
   * @throws CheckpointException.Unsupported when the family is unknown or the configuration asks
   *     for something that the decoder does not compute
   * @throws dev.kvshare.apply.model.CheckpointException.Mismatch when tensors are missing, too many
   *     or of another shape
   */
  public static ModelSpec spec(Checkpoint checkpoint) {
    ModelSpec spec = spec(checkpoint.config(), checkpoint.tensors().keySet());
    WeightCheck.check(spec, checkpoint);
    return spec;
  }

  /** Describes what a configuration asks for where no weights are at hand. */
  public static ModelSpec spec(ModelConfig config) {
    return spec(config, Set.of());
  }

  /** Describes what a configuration asks for; every key must be understood. */
  static ModelSpec spec(ModelConfig config, Set<String> tensors) {
    ModelSpec spec = of(config).spec(config, tensors);
    ConfigKeys.refuseUnknown(config);
    return spec;
  }

  private static ModelFamily of(ModelConfig config) {
    String type = config.string("model_type", null);
    for (ModelFamily family : FAMILIES) {
      if (type != null && family.modelTypes().contains(type)) {
        return family;
      }
    }
    throw config.invalid("model_type", "one of " + modelTypes() + " is expected");
  }
}
