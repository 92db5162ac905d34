package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;

/** Compares the tensors of a checkpoint with what its configuration says that there is. */
public final class WeightCheck {
  private static final int MAX_NAMED = 12;

  /** Buffers that older checkpoints store and that the decoder computes itself. */
  private static final Pattern COMPUTED =
      Pattern.compile(
          ".*(rotary_emb\\.inv_freq|rotary_emb\\.(cos|sin)_cached|attn\\.(masked_)?bias"
              + "|attention\\.(masked_)?bias)");

  private WeightCheck() {}

  /** Checks names and shapes of all tensors; a mismatch lists the problems. */
  public static void check(ModelSpec spec, Checkpoint checkpoint) {
    List<String> problems = new ArrayList<>();
    Set<String> known = new HashSet<>();
    check(spec.weights(), checkpoint, known, problems);
    for (BlockSpec block : spec.blocks()) {
      check(block.weights(), checkpoint, known, problems);
    }
    for (String name : checkpoint.tensors().keySet()) {
      boolean tiedHead =
          spec.tiedHead() && (name.equals("lm_head.weight") || name.equals("embed_out.weight"));
      if (!known.contains(name) && !tiedHead && !COMPUTED.matcher(name).matches()) {
        problems.add("tensor '" + name + "' is there, but the configuration has no use for it");
      }
    }
    if (!problems.isEmpty()) {
      throw new CheckpointException.Mismatch(message(spec, checkpoint, problems));
    }
  }

  private static void check(
      Map<WeightRole, WeightSpec> weights,
      Checkpoint checkpoint,
      Set<String> known,
      List<String> problems) {
    for (WeightSpec weight : new TreeMap<>(weights).values()) {
      for (WeightSpec.Part part : weight.parts()) {
        known.add(part.tensor());
        TensorInfo found = checkpoint.tensors().get(part.tensor());
        if (found == null) {
          problems.add("tensor '%s' %s is missing".formatted(part.tensor(), part.shape()));
        } else if (!found.shape().equals(part.shape())) {
          problems.add(
              "tensor '%s' has shape %s, expected %s"
                  .formatted(part.tensor(), found.shape(), part.shape()));
        }
      }
    }
  }

  private static String message(ModelSpec spec, Checkpoint checkpoint, List<String> problems) {
    int named = Math.min(MAX_NAMED, problems.size());
    String more = problems.size() > named ? "; and " + (problems.size() - named) + " more" : "";
    return "%s: the weights do not fit the configuration %s (%s, num_hidden_layers %d, hidden_size %d, vocab_size %d, %d query heads, %d key/value heads, head size %d): %s%s. Check that both belong to the same model, or download it again."
        .formatted(
            checkpoint.location(),
            checkpoint.config().origin().getFileName(),
            spec.modelType(),
            spec.layers(),
            spec.hiddenSize(),
            spec.vocabularySize(),
            spec.queryHeads(),
            spec.keyValueHeads(),
            spec.headSize(),
            String.join("; ", problems.subList(0, named)),
            more);
  }
}
