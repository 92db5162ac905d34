package dev.kvshare.apply.policy;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/** The rules between the parts of a policy, and between a policy and a model. */
final class PolicyRules {
  private PolicyRules() {}

  /** Returns every violated rule as a sentence that starts with the JSON path; empty if none. */
  static List<String> problems(ModelIdentity model, Plan plan) {
    List<String> problems = new ArrayList<>();
    SharingMap map = plan.map();
    if (map.layers() != model.layers()) {
      problems.add(
          "$.plan.kv_source has %d entries, but $.model.num_hidden_layers is %d: one entry a layer is needed"
              .formatted(map.layers(), model.layers()));
    }
    if (map.hasChains()) {
      problems.add(
          "$.plan.kv_source has a source that itself reads from another layer (%s): a source must keep its own keys and values"
              .formatted(map));
    }
    if (map.hasUpwardSources() && plan.upward() == null) {
      problems.add(
          "$.plan.kv_source has a source above its reader, but $.plan.upward is null: it must be {\"forward_passes\": N} or {\"sequential\": true}");
    }
    if (plan.hidesOwnToken()) {
      problems.add("no policy can say that the own token is hidden: " + plan);
    }
    return problems;
  }

  /** Refuses a model that is not the one the policy was made for. */
  static void checkModel(ModelIdentity expected, ModelIdentity found) {
    List<String> differences = new ArrayList<>();
    if (expected.layers() != found.layers()) {
      differences.add("%d layers against %d".formatted(expected.layers(), found.layers()));
    }
    boolean bothFingerprints = expected.fingerprint() != null && found.fingerprint() != null;
    if (bothFingerprints) {
      addDifference(differences, "fingerprint", expected.fingerprint(), found.fingerprint());
    }
    addDifference(differences, "model_type", expected.modelType(), found.modelType());
    addDifference(differences, "num_attention_heads", expected.queryHeads(), found.queryHeads());
    addDifference(
        differences, "num_key_value_heads", expected.keyValueHeads(), found.keyValueHeads());
    addDifference(differences, "head_dim", expected.headSize(), found.headSize());
    if (!differences.isEmpty()) {
      String force =
          expected.layers() == found.layers() ? "; or apply it all the same with --force" : "";
      throw new PolicyException.Mismatch(
          "The policy was made for another model (policy against model: %s). Use the model it was made for or calibrate this model with `kvshare calibrate`%s."
              .formatted(String.join(", ", differences), force));
    }
  }

  /** Refuses a map that has a layer read one of another kind of attention. */
  static void checkKinds(SharingMap map, ModelSpec spec) {
    int layer = spec.acrossKinds(map);
    if (layer >= 0) {
      int source = map.source(layer);
      throw new PolicyException.Mismatch(
          "The policy has layer %d (%s) read the keys and values of layer %d (%s), which calibration does not do: their attention is of different kinds. Calibrate this model with `kvshare calibrate`, with --across-kinds if that is wanted; or apply the policy all the same with --force."
              .formatted(layer, kind(spec, layer), source, kind(spec, source)));
    }
  }

  private static String kind(ModelSpec spec, int layer) {
    int window = spec.blocks().get(layer).attention().window();
    return window == 0 ? "full attention" : "a sliding window of " + window + " tokens";
  }

  private static void addDifference(
      List<String> differences, String name, Object expected, Object found) {
    if (expected != null && found != null && !Objects.equals(expected, found)) {
      differences.add("%s %s against %s".formatted(name, expected, found));
    }
  }
}
