package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.ModelConfig;
import java.util.Set;

/** A family of decoder-only models: reads its {@code config.json} and names its tensors. */
public interface ModelFamily {

  /** The values of {@code model_type} that this family reads. */
  Set<String> modelTypes();

  /**
   * Describes the model.
   *
   * @param config its {@code config.json}
   * @param tensors the names of its tensors, where a family has several ways to name them
   * @throws dev.kvshare.apply.model.CheckpointException.Unsupported when a key asks for something
   *     that the decoder does not compute
   */
  ModelSpec spec(ModelConfig config, Set<String> tensors);
}
