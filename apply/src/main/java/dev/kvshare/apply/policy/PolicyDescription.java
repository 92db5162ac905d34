package dev.kvshare.apply.policy;

import dev.kvshare.apply.model.MemorySize;
import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.PlanDescription;
import dev.kvshare.apply.policy.Provenance.ComparedMethod;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.apply.policy.Provenance.Validation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;

/** Explains a policy: its map, where it came from and what it saves. */
public final class PolicyDescription {
  /** Texts for which to say what windows leave of the cache, in tokens. */
  private static final List<Integer> LENGTHS = List.of(1024, 8192);

  private PolicyDescription() {}

  /** Lines under names, in the order to print them. */
  public static Map<String, List<String>> of(Path file, Policy policy) {
    Map<String, List<String>> facts = new LinkedHashMap<>();
    facts.put("policy", List.of(file.toString()));
    facts.put("made for", List.of(model(policy.model())));
    if (policy.model().fingerprint() != null) {
      facts.put("fingerprint", List.of(policy.model().fingerprint()));
    }
    Plan plan = policy.plan();
    PlanDescription.addTo(facts, plan);
    List<String> cache = new ArrayList<>(List.of(savings(policy.model(), plan)));
    if (policy.model().kvUse(plan).dropsTokens()) {
      LENGTHS.forEach(tokens -> cache.add(kept(policy.model(), plan, tokens)));
    }
    facts.put("KV cache", cache);
    if (policy.repair() != null) {
      facts.put(
          "repair",
          List.of(
              policy.repair().tensors().size() + " refitted tensors in " + policy.repair().file()));
    }
    if (policy.calibration() != null) {
      addOrigin(facts, policy.calibration());
    }
    if (policy.tool() != null) {
      facts.put("written by", List.of(policy.tool().name() + " " + policy.tool().version()));
    }
    return facts;
  }

  private static String model(ModelIdentity model) {
    List<String> parts = new ArrayList<>();
    if (model.modelType() != null) {
      parts.add(model.modelType());
    }
    parts.add(model.layers() + " layers");
    if (model.queryHeads() != null) {
      parts.add(model.queryHeads() + " query heads");
    }
    if (model.keyValueHeads() != null) {
      parts.add(model.keyValueHeads() + " key/value heads");
    }
    if (model.headSize() != null) {
      parts.add("head size " + model.headSize());
    }
    return String.join(", ", parts);
  }

  private static String savings(ModelIdentity model, Plan plan) {
    KvUse use = model.kvUse(plan);
    boolean bounded = use.dropsTokens();
    String text =
        String.format(
            Locale.ROOT,
            "%d of %d layers keep %s (%.1f %%)",
            use.wholeTextLayers(),
            model.layers(),
            bounded ? "one of the whole text" : "one",
            100.0 * use.wholeTextLayers() / model.layers());
    return model.knowsHeads()
        ? text
            + ": "
            + MemorySize.text(use.bytesPerToken(2))
            + (bounded ? " a further token" : " a token")
            + " instead of "
            + MemorySize.text(use.unsharedBytes(1, 2))
            + " (16-bit numbers)"
        : text;
  }

  /** What is kept of a text, where windows of the policy bound what layers keep. */
  private static String kept(ModelIdentity model, Plan plan, int tokens) {
    KvUse use = model.kvUse(plan);
    String text =
        String.format(
            Locale.ROOT, "of %,d tokens %.1f %% stay", tokens, 100 * use.fraction(tokens));
    return model.knowsHeads()
        ? text
            + ": "
            + MemorySize.text(use.bytes(tokens, 2))
            + " instead of "
            + MemorySize.text(use.unsharedBytes(tokens, 2))
        : text;
  }

  private static void addOrigin(Map<String, List<String>> facts, Provenance calibration) {
    if (calibration.method() != null) {
      facts.put("method", List.of(calibration.method() + seed(calibration)));
    }
    if (calibration.similarity() != null) {
      facts.put(
          "similarity",
          List.of(
              calibration.similarity()
                  + (calibration.threshold() == null
                      ? ""
                      : " (threshold " + calibration.threshold() + ")")));
    }
    addText(facts, "text", calibration.dataset());
    addText(facts, "repair text", calibration.repairDataset());
    if (calibration.samples() != null) {
      facts.put(
          "samples",
          List.of(calibration.samples() + " of " + calibration.tokensPerSample() + " tokens"));
    }
    Validation validation = calibration.validation();
    if (validation != null) {
      facts.put(
          "quality",
          List.of(
              String.format(
                  Locale.ROOT,
                  "KL divergence from the unshared model %.4f (%.4f without repair), perplexity %.3f times, same token at %.1f %%, on %d tokens",
                  validation.divergence(),
                  validation.plainDivergence(),
                  validation.perplexityRatio(),
                  100 * validation.agreement(),
                  validation.tokens())));
    }
    if (!calibration.compared().isEmpty()) {
      facts.put("tried", calibration.compared().stream().map(PolicyDescription::compared).toList());
    }
    if (calibration.accepted().isEmpty() && calibration.rejected().isEmpty()) {
      return;
    }
    facts.put(
        "search",
        List.of(
            calibration.accepted().size()
                + " pairs of layers accepted, "
                + calibration.rejected().size()
                + " refused"));
  }

  private static void addText(Map<String, List<String>> facts, String name, DatasetReference text) {
    if (text != null) {
      facts.put(
          name, List.of(text.name() + (text.sha256() == null ? "" : ", sha256 " + text.sha256())));
    }
  }

  private static String compared(ComparedMethod found) {
    return String.format(
        Locale.ROOT,
        "%s: %d layers%s, after a short repair KL divergence %.4f, perplexity %.3f times, same token at %.1f %%",
        found.method(),
        found.reducedLayers(),
        found.reached() ? "" : " (not the size asked for)",
        found.divergence(),
        found.perplexityRatio(),
        100 * found.agreement());
  }

  private static String seed(Provenance calibration) {
    return Objects.equals(calibration.method(), "random") ? ", seed " + calibration.seed() : "";
  }
}
