package dev.kvshare.apply.policy;

import com.fasterxml.jackson.annotation.JsonProperty;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Fingerprint;
import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import java.util.ArrayList;
import java.util.List;

/**
 * The model that a policy was made for. Only the number of layers is always known; hand-written
 * policies may leave out the rest.
 *
 * @param modelType the {@code model_type} of the model's configuration, or null
 * @param layers number of layers
 * @param queryHeads query heads a layer, or null
 * @param keyValueHeads key/value heads a layer, or null
 * @param headSize elements of a head, or null
 * @param fingerprint {@code sha256:…} over configuration, tensor names, shapes and sampled bytes,
 *     or null
 */
public record ModelIdentity(
    String modelType,
    @JsonProperty("num_hidden_layers") int layers,
    @JsonProperty("num_attention_heads") Integer queryHeads,
    @JsonProperty("num_key_value_heads") Integer keyValueHeads,
    @JsonProperty("head_dim") Integer headSize,
    String fingerprint) {

  public ModelIdentity {
    if (layers < 1) {
      throw new IllegalArgumentException("a model has at least one layer, found " + layers);
    }
  }

  /** Returns the identity of an opened model; reads a sample of its weights. */
  public static ModelIdentity of(Checkpoint checkpoint, ModelSpec spec) {
    return new ModelIdentity(
        spec.modelType(),
        spec.layers(),
        spec.queryHeads(),
        spec.keyValueHeads(),
        spec.headSize(),
        Fingerprint.of(checkpoint));
  }

  /** Returns the identity of a model of which only the number of layers is known. */
  public static ModelIdentity ofLayers(int layers) {
    return new ModelIdentity(null, layers, null, null, null, null);
  }

  /** What differs of {@code found}, as far as both are known: "head_dim 64 against 128". */
  List<String> differences(ModelIdentity found) {
    List<String> differences = new ArrayList<>();
    if (layers != found.layers) {
      differences.add("%d layers against %d".formatted(layers, found.layers));
    }
    add(differences, "fingerprint", fingerprint, found.fingerprint);
    add(differences, "model_type", modelType, found.modelType);
    add(differences, "num_attention_heads", queryHeads, found.queryHeads);
    add(differences, "num_key_value_heads", keyValueHeads, found.keyValueHeads);
    add(differences, "head_dim", headSize, found.headSize);
    return differences;
  }

  private static void add(List<String> differences, String name, Object one, Object other) {
    if (one != null && other != null && !one.equals(other)) {
      differences.add("%s %s against %s".formatted(name, one, other));
    }
  }

  /** Whether the size of a token's keys and values is known. */
  public boolean knowsHeads() {
    return keyValueHeads != null && headSize != null;
  }

  /**
   * What a plan keeps of a text, as far as the identity tells: windows of the model itself, and
   * keys that change with the length of a text, are not known here. A token of a layer has one
   * element where the heads are not known.
   */
  public KvUse kvUse(Plan plan) {
    return KvUse.alike(plan, knowsHeads() ? 2L * keyValueHeads * headSize : 1);
  }
}
