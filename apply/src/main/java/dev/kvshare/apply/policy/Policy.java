package dev.kvshare.apply.policy;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * A plan for one model, with refitted weights, savings and provenance: what a policy file holds.
 *
 * @param model the model it was made for
 * @param plan what every layer does
 * @param repair the refitted weights, or null
 * @param savings what the plan saves; counted anew for its context, null for the usual one
 * @param calibration where the plan came from, or null
 * @param tool the program that wrote the policy, or null
 * @param unknownFields fields of the file that this release does not know, nested as they were
 *     found; written back unchanged
 */
public record Policy(
    ModelIdentity model,
    Plan plan,
    RepairReference repair,
    Savings savings,
    Provenance calibration,
    ToolVersion tool,
    ObjectNode unknownFields) {

  /**
   * The refitted weights that belong to a policy. Without them the policy still works, with lower
   * quality.
   *
   * @param file name of the safetensors file, in the folder of the policy file
   * @param sha256 64 hexadecimal digits over the bytes of that file
   * @param planSha256 {@link PolicyFile#planSha256} of the plan that they were fitted for; null
   *     where the file does not say
   * @param tensors names of the tensors in it, as in the checkpoint
   */
  public record RepairReference(
      String file, String sha256, String planSha256, List<String> tensors) {
    public RepairReference {
      tensors = List.copyOf(tensors);
    }
  }

  /**
   * What a plan saves, as far as the policy alone tells: a model whose keys change with the length
   * of the text keeps all of them, whatever the windows are.
   *
   * @param context tokens of the text that {@code kvFraction} is of
   * @param kvFraction share of the unshared model's KV cache that is kept, three decimals
   * @param kvBytesPerToken bytes of keys and values that one more token takes once the windows are
   *     full, with two-byte elements; 0 where the head sizes are not known
   */
  public record Savings(int context, double kvFraction, long kvBytesPerToken) {
    /** Tokens of the text that savings are stated for where nothing else is said. */
    public static final int USUAL_CONTEXT = 2048;

    private static final int BYTES_PER_ELEMENT = 2;
  }

  /**
   * The program that wrote a policy.
   *
   * @param name name of the program
   * @param version its version
   */
  public record ToolVersion(String name, String version) {
    /** This program, by the manifest of the jar that a class comes from; others have none. */
    public static ToolVersion of(Class<?> part) {
      String version = part.getPackage().getImplementationVersion();
      return new ToolVersion("kvshare", version == null ? "development" : version);
    }
  }

  public Policy {
    unknownFields = unknownFields.deepCopy();
    List<String> problems = problems(model, plan);
    if (!problems.isEmpty()) {
      throw new IllegalArgumentException(String.join("; ", problems));
    }
    int context = savings == null ? Savings.USUAL_CONTEXT : savings.context();
    KvUse use = model.kvUse(plan);
    savings =
        new Savings(
            context,
            Math.round(1000 * use.fraction(context)) / 1000.0,
            model.knowsHeads() ? use.bytesPerToken(Savings.BYTES_PER_ELEMENT) : 0);
  }

  /**
   * A policy that says a plan for a model and nothing else.
   *
   * @throws IllegalArgumentException if no policy can say the plan
   */
  public static Policy of(ModelIdentity model, Plan plan) {
    return new Policy(model, plan, null, null, null, null, JsonNodeFactory.instance.objectNode());
  }

  /** The same for another model, or for the same one in another form. */
  public Policy withModel(ModelIdentity other) {
    return new Policy(other, plan, repair, savings, calibration, tool, unknownFields);
  }

  public Policy withPlan(Plan other) {
    return new Policy(model, other, repair, savings, calibration, tool, unknownFields);
  }

  public Policy withRepair(RepairReference other) {
    return new Policy(model, plan, other, savings, calibration, tool, unknownFields);
  }

  /** The same with its savings stated for texts of so many tokens. */
  public Policy withContext(int tokens) {
    Savings other = new Savings(tokens, 0, 0);
    return new Policy(model, plan, repair, other, calibration, tool, unknownFields);
  }

  /** The same with another origin: the one it has, or an empty one, after {@code change}. */
  public Policy withCalibration(Consumer<Provenance.Draft> change) {
    Provenance other = Provenance.changed(calibration, change);
    return new Policy(model, plan, repair, savings, other, tool, unknownFields);
  }

  public Policy withTool(ToolVersion other) {
    return new Policy(model, plan, repair, savings, calibration, other, unknownFields);
  }

  public SharingMap map() {
    return plan.map();
  }

  /** How near the plan comes to the unshared model; null where that was not measured. */
  public Provenance.Validation validation() {
    return calibration == null ? null : calibration.validation();
  }

  /** What is found again of hidden numbers; null where that was not measured. */
  public Provenance.Recall recall() {
    return calibration == null ? null : calibration.recall();
  }

  @Override
  public ObjectNode unknownFields() {
    return unknownFields.deepCopy();
  }

  /**
   * Every violated rule between model and plan as a sentence that starts with the JSON path; empty
   * if none.
   */
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

  /**
   * Checks that this policy was made for a model.
   *
   * @throws PolicyException.Mismatch if the layers, the fingerprint or any other property differs
   *     that both sides know
   */
  public void check(ModelIdentity found) {
    List<String> differences = model.differences(found);
    if (!differences.isEmpty()) {
      boolean alike = model.layers() == found.layers();
      throw new PolicyException.Mismatch(
          "The policy was made for another model (policy against model: %s). Use the model it was made for or calibrate this model with `kvshare calibrate`%s."
              .formatted(
                  String.join(", ", differences),
                  alike ? "; or apply it all the same with --force" : ""));
    }
  }

  /**
   * Checks that layers read layers of their own kind of attention.
   *
   * @throws PolicyException.Mismatch if one does not, unless calibration was asked for that
   */
  public void checkKinds(ModelSpec spec) {
    int layer = spec.acrossKinds(map());
    if (layer >= 0 && (calibration == null || calibration.acrossKinds() == null)) {
      int source = map().source(layer);
      throw new PolicyException.Mismatch(
          "The policy has layer %d (%s) read the keys and values of layer %d (%s), which calibration does not do: their attention is of different kinds. Calibrate this model with `kvshare calibrate`, with --across-kinds if that is wanted; or apply the policy all the same with --force."
              .formatted(layer, kind(spec, layer), source, kind(spec, source)));
    }
  }

  private static String kind(ModelSpec spec, int layer) {
    int window = spec.blocks().get(layer).attention().window();
    return window == 0 ? "full attention" : "a sliding window of " + window + " tokens";
  }
}
