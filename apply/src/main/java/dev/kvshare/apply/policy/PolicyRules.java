package dev.kvshare.apply.policy;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** The rules between the parts of a policy that a schema cannot state. */
final class PolicyRules {
  /** Half a unit of the third decimal, the precision of {@code kv_fraction} in the file. */
  private static final double FRACTION_TOLERANCE = 0.0005 + 1e-9;

  private PolicyRules() {}

  /** Returns every violated rule as a sentence that starts with the JSON path; empty if none. */
  static List<String> problems(ModelIdentity model, Plan plan, Savings savings) {
    List<String> problems = new ArrayList<>();
    SharingMap map = plan.map();
    if (map.layers() != model.layers()) {
      problems.add(
          "$.kv_source has %d entries, but $.model.num_hidden_layers is %d: one entry a layer is needed"
              .formatted(map.layers(), model.layers()));
    }
    if (map.hasChains()) {
      problems.add(
          "$.kv_source has a source that itself reads from another layer (%s): a source must keep its own keys and values"
              .formatted(map));
    }
    if (map.hasUpwardSources() && plan.upward() == null) {
      problems.add(
          "$.kv_source has a source above its reader, but $.upper is null: it must be"
              + " {\"forward_passes\": N} or {\"sequential\": true}");
    }
    if (plan.hidesOwnToken()) {
      problems.add("no policy can say that the own token is hidden: " + plan);
    }
    if (savings != null) {
      addSavingsProblems(problems, plan, savings);
    }
    return problems;
  }

  /** What is wrong with windows as a file has them, before a plan is made of them. */
  static List<String> windowProblems(
      int layers, Integer slidingWindow, int attentionSinks, List<Integer> windowedLayers) {
    List<String> problems = new ArrayList<>();
    if (slidingWindow == null && !windowedLayers.isEmpty()) {
      problems.add("$.windowed_layers names layers, but $.sliding_window is null: give its tokens");
    }
    if (attentionSinks < 0 || (attentionSinks > 0 && windowedLayers.isEmpty())) {
      problems.add(
          "$.attention_sinks is %d, but $.windowed_layers names no layer: sinks belong to windows"
              .formatted(attentionSinks));
    }
    for (int layer : windowedLayers) {
      if (layer < 0 || layer >= layers) {
        problems.add(
            "$.windowed_layers names layer %d: the layers are 0 to %d"
                .formatted(layer, layers - 1));
      }
    }
    return problems;
  }

  /**
   * Windows count, but releases that left them out have written policies too: either way will do,
   * as long as both numbers are counted alike.
   */
  private static void addSavingsProblems(List<String> problems, Plan plan, Savings savings) {
    int layers = plan.map().layers();
    int owned = plan.map().ownedLayers();
    int whole = plan.wholeTextLayers();
    int found = savings.keyValueLayers();
    List<Integer> counts = IntStream.of(owned, whole).distinct().boxed().toList();
    boolean known = counts.contains(found);
    if (known) {
      counts = List.of(found);
    } else {
      problems.add(
          "$.savings.kv_layers is %d, but $.kv_source leaves %d of %d layers with a cache%s"
              .formatted(
                  found,
                  owned,
                  layers,
                  whole == owned ? "" : ", $.windowed_layers %d with all tokens".formatted(whole)));
    }
    List<Double> fractions = counts.stream().map(count -> (double) count / layers).toList();
    if (fractions.stream()
        .allMatch(
            fraction -> Math.abs(savings.keyValueFraction() - fraction) > FRACTION_TOLERANCE)) {
      problems.add(
          "$.savings.kv_fraction is %s, but %s %s"
              .formatted(
                  savings.keyValueFraction(),
                  savingsSource(known, whole == owned),
                  fractions.stream().map("%.3f"::formatted).collect(Collectors.joining(" or "))));
    }
  }

  /** What a fraction follows from, as the start of a clause. */
  private static String savingsSource(boolean layersFit, boolean withoutWindows) {
    if (withoutWindows) {
      return "$.kv_source gives";
    }
    return layersFit ? "$.savings.kv_layers gives" : "$.kv_source and $.windowed_layers give";
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
      throw new PolicyMismatchException(
          "The policy was made for another model (policy against model: %s). Use the model it was made for or calibrate this model with `kvshare calibrate`%s."
              .formatted(String.join(", ", differences), force));
    }
  }

  private static void addDifference(
      List<String> differences, String name, Object expected, Object found) {
    if (expected != null && found != null && !Objects.equals(expected, found)) {
      differences.add("%s %s against %s".formatted(name, expected, found));
    }
  }
}
