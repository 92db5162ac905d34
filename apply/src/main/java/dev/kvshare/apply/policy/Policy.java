package dev.kvshare.apply.policy;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import java.util.List;

/**
 * A sharing map together with everything needed to apply it and to know where it came from.
 *
 * @param model the model it was made for
 * @param map which layer reads whose keys and values
 * @param slidingWindow tokens that {@code windowedLayers} keep, or null
 * @param attentionSinks first tokens of a text that {@code windowedLayers} keep besides; 0 for none
 * @param windowedLayers layers whose attention is restricted to {@code slidingWindow} tokens
 * @param upward how prompts are processed when a source lies above its reader, else null
 * @param repair the refitted weights, or null
 * @param savings what map and windows save, or what the map alone does, as files of earlier
 *     releases say; null for what follows from the other parts
 * @param calibration where the map came from, or null
 * @param tool the program that wrote the policy, or null
 * @param unknownFields fields of the file that this release does not know, nested as they were
 *     found; written back unchanged
 */
public record Policy(
    ModelIdentity model,
    SharingMap map,
    Integer slidingWindow,
    int attentionSinks,
    List<Integer> windowedLayers,
    UpwardReading upward,
    RepairReference repair,
    Savings savings,
    Provenance calibration,
    ToolVersion tool,
    ObjectNode unknownFields) {

  /** Checks that the parts agree with each other. */
  public Policy {
    windowedLayers = List.copyOf(windowedLayers);
    unknownFields = unknownFields.deepCopy();
    List<String> problems =
        PolicyRules.problems(
            model, map, slidingWindow, attentionSinks, windowedLayers, upward, savings);
    if (!problems.isEmpty()) {
      throw new IllegalArgumentException(String.join("; ", problems));
    }
    if (savings == null) {
      savings =
          Savings.of(model, Plan.of(map, slidingWindow, attentionSinks, windowedLayers, upward));
    }
  }

  /** How near the map comes to the unshared model; null where that was not measured. */
  public Validation validation() {
    return calibration == null ? null : calibration.validation();
  }

  @Override
  public ObjectNode unknownFields() {
    return unknownFields.deepCopy();
  }

  /** Returns a builder of a policy of {@code map} for {@code model} with nothing else set. */
  public static Builder builder(ModelIdentity model, SharingMap map) {
    return new Builder(model, map);
  }

  /**
   * Returns a builder of a policy for {@code model} that says all of {@code plan}: its map, its
   * windows, and how sources above their readers are read.
   *
   * @throws IllegalArgumentException if the plan hides the own token, which no policy can say
   */
  public static Builder builder(ModelIdentity model, Plan plan) {
    if (plan.hidesOwnToken()) {
      throw new IllegalArgumentException("no policy can say that the own token is hidden: " + plan);
    }
    boolean windowed = !plan.windowedLayers().isEmpty();
    return builder(model, plan.map())
        .window(windowed ? plan.slidingWindow() : null, plan.windowedLayers())
        .attentionSinks(plan.sinks())
        .upward(plan.upward());
  }

  /** Returns a builder that starts from this policy. */
  public Builder toBuilder() {
    return new Builder(model, map)
        .window(slidingWindow, windowedLayers)
        .attentionSinks(attentionSinks)
        .upward(upward)
        .repair(repair)
        .savings(savings)
        .calibration(calibration)
        .tool(tool)
        .unknownFields(unknownFields);
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

  /** Collects the components of a {@link Policy}. */
  public static final class Builder {
    private final ModelIdentity model;
    private final SharingMap map;
    private Integer slidingWindow;
    private int attentionSinks;
    private List<Integer> windowedLayers = List.of();
    private UpwardReading upward;
    private RepairReference repair;
    private Savings savings;
    private Provenance calibration;
    private ToolVersion tool;
    private ObjectNode unknownFields = JsonNodeFactory.instance.objectNode();

    private Builder(ModelIdentity model, SharingMap map) {
      this.model = model;
      this.map = map;
    }

    /** Restricts the attention of {@code layers} to {@code tokens} tokens; the savings follow. */
    public Builder window(Integer tokens, List<Integer> layers) {
      slidingWindow = tokens;
      windowedLayers = layers;
      savings = null;
      return this;
    }

    /** Lets the windowed layers keep the first {@code tokens} of a text besides. */
    public Builder attentionSinks(int tokens) {
      attentionSinks = tokens;
      return this;
    }

    /** Sets how prompts are processed when a source lies above its reader. */
    public Builder upward(UpwardReading value) {
      upward = value;
      return this;
    }

    /** Sets the refitted weights. */
    public Builder repair(RepairReference value) {
      repair = value;
      return this;
    }

    /** Replaces the savings that follow from map, windows and model. */
    public Builder savings(Savings value) {
      savings = value;
      return this;
    }

    /** Sets where the map came from. */
    public Builder calibration(Provenance value) {
      calibration = value;
      return this;
    }

    /** Sets the program that writes the policy. */
    public Builder tool(ToolVersion value) {
      tool = value;
      return this;
    }

    /** Sets the fields that are written as they are. */
    public Builder unknownFields(ObjectNode value) {
      unknownFields = value;
      return this;
    }

    /** Returns the policy. */
    public Policy build() {
      return new Policy(
          model,
          map,
          slidingWindow,
          attentionSinks,
          windowedLayers,
          upward,
          repair,
          savings,
          calibration,
          tool,
          unknownFields);
    }
  }
}
