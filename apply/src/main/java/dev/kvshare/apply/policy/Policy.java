package dev.kvshare.apply.policy;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.List;

/**
 * A plan for one model, with refitted weights, savings and provenance: what a policy file holds.
 *
 * @param model the model it was made for
 * @param plan what every layer does
 * @param repair the refitted weights, or null
 * @param savings what the plan saves; null for what follows from the other parts
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

  /** Checks that the parts agree with each other. */
  public Policy {
    unknownFields = unknownFields.deepCopy();
    List<String> problems = PolicyRules.problems(model, plan, savings);
    if (!problems.isEmpty()) {
      throw new IllegalArgumentException(String.join("; ", problems));
    }
    if (savings == null) {
      savings = Savings.of(model, plan);
    }
  }

  /**
   * A policy that says a plan for a model and nothing else.
   *
   * @throws IllegalArgumentException if no policy can say the plan
   */
  public static Policy of(ModelIdentity model, Plan plan) {
    return new Policy(model, plan, null, null, null, null, JsonNodeFactory.instance.objectNode());
  }

  /** The same with other refitted weights; null for none. */
  public Policy withRepair(RepairReference other) {
    return new Policy(model, plan, other, savings, calibration, tool, unknownFields);
  }

  /** The same with another origin. */
  public Policy withCalibration(Provenance other) {
    return new Policy(model, plan, repair, savings, other, tool, unknownFields);
  }

  /** The same, written by another program. */
  public Policy withTool(ToolVersion other) {
    return new Policy(model, plan, repair, savings, calibration, other, unknownFields);
  }

  /** Which layer reads whose keys and values. */
  public SharingMap map() {
    return plan.map();
  }

  /** How near the plan comes to the unshared model; null where that was not measured. */
  public Validation validation() {
    return calibration == null ? null : calibration.validation();
  }

  @Override
  public ObjectNode unknownFields() {
    return unknownFields.deepCopy();
  }

  /**
   * Checks that this policy was made for {@code found}.
   *
   * @throws PolicyMismatchException if the layers, the fingerprint or, where one side has no
   *     fingerprint, any other known property differs
   */
  public void check(ModelIdentity found) {
    PolicyRules.checkModel(model, found);
  }
}
