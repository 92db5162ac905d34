package dev.kvshare.apply.generate;

import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.MemorySize;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.checkpoint.Fingerprint;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.PlanDescription;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * Explains a model: what it is, what its KV cache costs and which layers may share.
 *
 * @param map what to reckon the KV cache with, the identity for the unshared model
 * @param dtype number format of weights and KV cache in memory
 */
public record ModelDescription(
    Checkpoint checkpoint, ModelSpec spec, SharingMap map, ComputeType dtype) {
  private static final int[] BATCHES = {1, 8, 64};

  /**
   * Lines under names, in the order to print them.
   *
   * @param memoryBytes memory for weights and KV cache
   */
  public Map<String, List<String>> facts(long memoryBytes) {
    Map<String, List<String>> facts = new LinkedHashMap<>();
    facts.put("model", List.of(checkpoint.location().toString()));
    facts.put("family", List.of(spec.modelType()));
    facts.put("layers", List.of(layers()));
    facts.put(
        "heads",
        List.of(
            "%d query, %d key/value, head size %d"
                .formatted(spec.queryHeads(), spec.keyValueHeads(), spec.headSize())));
    facts.put(
        "vocabulary", List.of(spec.vocabularySize() + (spec.tiedHead() ? ", tied head" : "")));
    facts.put("context", List.of(spec.maxPositions() + " positions"));
    facts.put(
        "parameters",
        List.of("%s in %d tensors".formatted(parameters(), checkpoint.tensors().size())));
    facts.put("stored as", List.of(storedTypes()));
    facts.put("tokenizer", List.of(tokenizer()));
    facts.put("fingerprint", List.of(Fingerprint.of(checkpoint)));
    facts.put("KV cache", cache());
    facts.put("may share", sharing());
    facts.put("in " + MemorySize.text(memoryBytes), capacity(memoryBytes));
    return facts;
  }

  private String layers() {
    FeedForwardSpec feedForward = spec.blocks().get(0).feedForward();
    FeedForwardSpec.Experts experts = feedForward.experts();
    return "%d, hidden size %d, intermediate size %d"
            .formatted(spec.layers(), spec.hiddenSize(), feedForward.intermediateSize())
        + (experts == null
            ? ""
            : ", %d of %d experts a token".formatted(experts.perToken(), experts.count()));
  }

  private long elements() {
    return checkpoint.tensors().values().stream().mapToLong(TensorInfo::elements).sum();
  }

  private String parameters() {
    double count = elements();
    return count < 1e9
        ? String.format(Locale.ROOT, "%.1f million", count / 1e6)
        : String.format(Locale.ROOT, "%.2f billion", count / 1e9);
  }

  private String storedTypes() {
    Map<DataType, Long> bytes = new EnumMap<>(DataType.class);
    for (TensorInfo tensor : checkpoint.tensors().values()) {
      bytes.merge(tensor.dataType(), tensor.bytes(), Long::sum);
    }
    return bytes.entrySet().stream()
        .sorted(Map.Entry.<DataType, Long>comparingByValue().reversed())
        .map(entry -> entry.getKey() + " " + MemorySize.text(entry.getValue()))
        .collect(Collectors.joining(", "));
  }

  private String tokenizer() {
    if (checkpoint.tokenizerSource() instanceof TokenizerSource.None) {
      return "none: token ids only";
    }
    try (Tokenizer tokenizer = Tokenizer.load(checkpoint.tokenizerSource(), checkpoint.config())) {
      return tokenizer.vocabularySize()
          + " tokens, "
          + (tokenizer.chatTemplate().isPresent() ? "with" : "without")
          + " a chat template";
    } catch (CheckpointException.Tokenizer e) {
      return "cannot be used: " + e.getMessage();
    }
  }

  private List<String> cache() {
    List<String> lines = new ArrayList<>();
    for (ComputeType type : List.of(ComputeType.FLOAT32, ComputeType.FLOAT16)) {
      String bytes = perToken(map, type);
      String unshared = perToken(SharingMap.identity(spec.layers()), type);
      lines.add(
          "%s a token in %d-bit numbers".formatted(bytes, 8 * type.bytes())
              + (map.isIdentity() ? "" : ", unshared " + unshared));
    }
    return lines;
  }

  private String perToken(SharingMap of, ComputeType type) {
    return MemorySize.text(spec.kvUse(Plan.of(of)).bytesPerToken(type.bytes()));
  }

  /** One line for each group of layers that may read each other. */
  private List<String> sharing() {
    Map<Integer, List<Integer>> groups = new TreeMap<>();
    for (int layer = 0; layer < spec.layers(); layer++) {
      int lowest = 0;
      while (lowest < layer && !(groups.containsKey(lowest) && spec.mayShare(layer, lowest))) {
        lowest++;
      }
      groups.computeIfAbsent(lowest, first -> new ArrayList<>()).add(layer);
    }
    return groups.size() == 1
        ? List.of("every layer with every other")
        : groups.values().stream().map(this::group).toList();
  }

  private String group(List<Integer> layers) {
    AttentionSpec attention = spec.blocks().get(layers.get(0)).attention();
    String kind =
        attention.window() == 0 ? "full attention" : "window of " + attention.window() + " tokens";
    return PlanDescription.layers(layers) + " with each other (" + kind + ")";
  }

  /** The longest context for some batch sizes, after the weights have their place. */
  private List<String> capacity(long memoryBytes) {
    long weights = elements() * dtype.bytes();
    String format = dtype.name().toLowerCase(Locale.ROOT);
    if (weights >= memoryBytes) {
      return List.of("the weights do not fit: " + MemorySize.text(weights) + " in " + format);
    }
    long tokens = (memoryBytes - weights) / spec.kvUse(Plan.of(map)).bytesPerToken(dtype.bytes());
    List<String> lines = new ArrayList<>();
    lines.add(MemorySize.text(weights) + " for the weights in " + format + ", then KV cache for");
    for (int batch : BATCHES) {
      long context = tokens / batch;
      lines.add(
          "%3d x %d tokens%s"
              .formatted(
                  batch,
                  Math.min(context, spec.maxPositions()),
                  context >= spec.maxPositions() ? " (the model's context)" : ""));
    }
    return lines;
  }
}
