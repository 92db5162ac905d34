package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Compares the tensors of a checkpoint with what its configuration says that there is. */
public final class WeightCheck {
  private static final int MAX_NAMED = 12;

  /** Buffers that older checkpoints store and that the decoder computes itself. */
  private static final Pattern COMPUTED =
      Pattern.compile(
          ".*(rotary_emb\\.inv_freq|rotary_emb\\.(cos|sin)_cached|attn\\.(masked_)?bias"
              + "|attention\\.(masked_)?bias)");

  private static final Pattern LAYER =
      Pattern.compile(
          "(?:(?:model|transformer|gpt_neox)\\.)?(?:decoder\\.)?(?:layers|h)\\.(\\d{1,6})\\..*");

  /**
   * Scales of a quantised cache or of activations; those of quantised weights come with types that
   * are refused.
   */
  private static final Pattern SCALE = Pattern.compile(".*scale(_inv)?s?");

  private static final List<String> HEADS =
      List.of("lm_head.weight", "embed_out.weight", "output.weight");

  private static final int COMPARED_BYTES = 1 << 20;

  private WeightCheck() {}

  /**
   * Checks names and shapes of all tensors; a mismatch lists the problems. A tensor outside the
   * layers that nothing uses is left out with a warning.
   *
   * @return the description, with the stored head where that is not the embedding
   */
  public static ModelSpec checked(ModelSpec asConfigured, Checkpoint checkpoint) {
    ModelSpec spec = withStoredHead(asConfigured, checkpoint);
    List<String> problems = new ArrayList<>();
    Set<String> known = new HashSet<>();
    check(spec.weights(), checkpoint, known, problems);
    for (BlockSpec block : spec.blocks()) {
      check(block.weights(), checkpoint, known, problems);
    }
    int predictors = checkpoint.config().integer("num_nextn_predict_layers", 0);
    List<String> unused = new ArrayList<>();
    for (String name : checkpoint.tensors().keySet()) {
      if (known.contains(name) || COMPUTED.matcher(name).matches()) {
        continue;
      }
      if (mayBeLeftOut(name, known, spec.layers(), predictors)) {
        unused.add(name);
      } else if (!(spec.tiedHead() && HEADS.contains(name))) {
        problems.add(
            "tensor '"
                + checkpoint.config().nameInFile(name)
                + "' is there, but the configuration has no use for it");
      }
    }
    if (!problems.isEmpty()) {
      throw new CheckpointException.Mismatch(message(spec, checkpoint, problems));
    }
    if (!unused.isEmpty()) {
      ConfigKeys.warnOnce(
          "%s: nothing uses %d of the tensors (%s%s), which are left out."
              .formatted(
                  checkpoint.location(),
                  unused.size(),
                  String.join(", ", unused.subList(0, Math.min(MAX_NAMED, unused.size()))),
                  unused.size() > MAX_NAMED ? ", …" : ""));
    }
    return spec;
  }

  /** Not a part of a layer, nor a further weight or bias of what is computed. */
  private static boolean mayBeLeftOut(String name, Set<String> known, int layers, int predictors) {
    Matcher layer = LAYER.matcher(name);
    if (layer.matches()) {
      int index = Integer.parseInt(layer.group(1));
      return SCALE.matcher(name).matches() || (index >= layers && index < layers + predictors);
    }
    String stem = name.replaceFirst("\\.[^.]*$", "");
    return !HEADS.contains(name)
        && !known.contains(stem + ".weight")
        && !known.contains(stem + ".bias");
  }

  /**
   * A head that is stored under a tied configuration counts where it differs, as in transformers.
   */
  private static ModelSpec withStoredHead(ModelSpec spec, Checkpoint checkpoint) {
    String head = HEADS.stream().filter(checkpoint.tensors()::containsKey).findFirst().orElse(null);
    if (!spec.tiedHead() || head == null) {
      return spec;
    }
    String embedding = spec.weights().get(WeightRole.EMBEDDING).parts().get(0).tensor();
    if (!checkpoint.tensors().containsKey(embedding) || sameBytes(checkpoint, head, embedding)) {
      return spec;
    }
    ConfigKeys.warnOnce(
        "%s: 'tie_word_embeddings' is true, but '%s' is stored and differs from '%s'. It is used, as transformers does."
            .formatted(checkpoint.location(), head, embedding));
    return spec.withHead(head);
  }

  private static boolean sameBytes(Checkpoint checkpoint, String one, String other) {
    TensorInfo first = checkpoint.info(one);
    TensorInfo second = checkpoint.info(other);
    boolean same = first.dataType() == second.dataType() && first.shape().equals(second.shape());
    ByteBuffer left = ByteBuffer.allocate(COMPARED_BYTES);
    ByteBuffer right = ByteBuffer.allocate(COMPARED_BYTES);
    for (long offset = 0; same && offset < first.bytes(); offset += COMPARED_BYTES) {
      int length = (int) Math.min(COMPARED_BYTES, first.bytes() - offset);
      checkpoint.readStored(one, offset, left.clear().limit(length));
      checkpoint.readStored(other, offset, right.clear().limit(length));
      same = left.flip().equals(right.flip());
    }
    return same;
  }

  private static void check(
      Map<WeightRole, WeightSpec> weights,
      Checkpoint checkpoint,
      Set<String> known,
      List<String> problems) {
    for (WeightSpec weight : new TreeMap<>(weights).values()) {
      for (WeightSpec.Part part : weight.parts()) {
        known.add(part.tensor());
        String name = checkpoint.config().nameInFile(part.tensor());
        TensorInfo found = checkpoint.tensors().get(part.tensor());
        if (found == null) {
          problems.add("tensor '%s' %s is missing".formatted(name, part.shape()));
        } else if (!found.shape().equals(part.shape())) {
          problems.add(
              "tensor '%s' has shape %s, expected %s".formatted(name, found.shape(), part.shape()));
        }
      }
    }
  }

  private static String message(ModelSpec spec, Checkpoint checkpoint, List<String> problems) {
    int named = Math.min(MAX_NAMED, problems.size());
    String more = problems.size() > named ? "; and " + (problems.size() - named) + " more" : "";
    return "%s: the weights do not fit the configuration %s (%s, %s %d, %s %d, vocab_size %d, %d query heads, %d key/value heads, head size %d): %s%s. Check that both belong to the same model, or download it again."
        .formatted(
            checkpoint.location(),
            checkpoint.config().origin().getFileName(),
            spec.modelType(),
            checkpoint.config().nameInFile("num_hidden_layers"),
            spec.layers(),
            checkpoint.config().nameInFile("hidden_size"),
            spec.hiddenSize(),
            spec.vocabularySize(),
            spec.queryHeads(),
            spec.keyValueHeads(),
            spec.headSize(),
            String.join("; ", problems.subList(0, named)),
            more);
  }
}
