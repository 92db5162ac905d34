package dev.kvshare.apply.policy;

import dev.kvshare.apply.model.MemorySize;
import dev.kvshare.apply.plan.KvUse;
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
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Explains a policy: its map, where it came from and what it saves. */
public final class PolicyDescription {
  /** Texts for which to say what windows leave of the cache, in tokens. */
  private static final List<Integer> LENGTHS = List.of(1024, 8192);

  private PolicyDescription() {}

  /** Lines under names, in the order to print them. */
  public static Map<String, List<String>> of(Path file, Policy policy) {
    Map<String, List<String>> facts = new LinkedHashMap<>();
    add(facts, "policy", "%s", file);
    add(facts, "made for", "%s", model(policy.model()));
    add(facts, "fingerprint", "%s", policy.model().fingerprint());
    PlanDescription.addTo(facts, policy.plan());
    facts.put("KV cache", cache(policy.model(), policy.model().kvUse(policy.plan())));
    if (policy.repair() != null) {
      int tensors = policy.repair().tensors().size();
      add(facts, "repair", "%d refitted tensors in %s", tensors, policy.repair().file());
    }
    if (policy.calibration() != null) {
      addOrigin(facts, policy.calibration());
    }
    if (policy.tool() != null) {
      add(facts, "written by", "%s %s", policy.tool().name(), policy.tool().version());
    }
    return facts;
  }

  /** Adds a line, unless the first of its values is not known. */
  private static void add(
      Map<String, List<String>> facts, String name, String pattern, Object... values) {
    if (values[0] != null) {
      facts.put(name, List.of(String.format(Locale.ROOT, pattern, values)));
    }
  }

  private static String model(ModelIdentity model) {
    return Stream.of(
            model.modelType(),
            model.layers() + " layers",
            model.queryHeads() == null ? null : model.queryHeads() + " query heads",
            model.keyValueHeads() == null ? null : model.keyValueHeads() + " key/value heads",
            model.headSize() == null ? null : "head size " + model.headSize())
        .filter(Objects::nonNull)
        .collect(Collectors.joining(", "));
  }

  /** What a token adds, and what is kept of some texts where windows of the plan bound it. */
  private static List<String> cache(ModelIdentity model, KvUse use) {
    boolean bounded = use.dropsTokens();
    List<String> lines = new ArrayList<>();
    String layers =
        String.format(
            Locale.ROOT,
            "%d of %d layers keep %s (%.1f %%)",
            use.wholeTextLayers(),
            model.layers(),
            bounded ? "one of the whole text" : "one",
            100.0 * use.wholeTextLayers() / model.layers());
    String bytes =
        ": %s a %s instead of %s (16-bit numbers)"
            .formatted(
                MemorySize.text(use.bytesPerToken(2)),
                bounded ? "further token" : "token",
                MemorySize.text(use.unsharedBytes(1, 2)));
    lines.add(model.knowsHeads() ? layers + bytes : layers);
    for (int tokens : bounded ? LENGTHS : List.<Integer>of()) {
      String kept =
          String.format(
              Locale.ROOT, "of %,d tokens %.1f %% stay", tokens, 100 * use.fraction(tokens));
      String sizes =
          ": %s instead of %s"
              .formatted(
                  MemorySize.text(use.bytes(tokens, 2)),
                  MemorySize.text(use.unsharedBytes(tokens, 2)));
      lines.add(model.knowsHeads() ? kept + sizes : kept);
    }
    return lines;
  }

  private static void addOrigin(Map<String, List<String>> facts, Provenance origin) {
    String seed = Objects.equals(origin.method(), "random") ? ", seed " + origin.seed() : "";
    add(facts, "method", "%s%s", origin.method(), seed);
    String limit = origin.threshold() == null ? "" : " (threshold " + origin.threshold() + ")";
    add(facts, "similarity", "%s%s", origin.similarity(), limit);
    addText(facts, "text", origin.dataset());
    addText(facts, "repair text", origin.repairDataset());
    add(facts, "samples", "%d of %d tokens", origin.samples(), origin.tokensPerSample());
    if (origin.dtype() != null) {
      add(facts, "computed in", "%s, %s threads", origin.dtype(), origin.threads());
    }
    Validation validation = origin.validation();
    if (validation != null) {
      add(
          facts,
          "quality",
          "KL divergence from the unshared model %.4f (%.4f without repair), perplexity %.3f times, same token at %.1f %%, on %d tokens",
          validation.divergence(),
          validation.plainDivergence(),
          validation.perplexityRatio(),
          100 * validation.agreement(),
          validation.tokens());
    }
    if (origin.recall() != null) {
      add(facts, "recall", "%s", origin.recall().words());
    }
    if (!origin.compared().isEmpty()) {
      facts.put("tried", origin.compared().stream().map(PolicyDescription::compared).toList());
    }
    int accepted = origin.accepted().size();
    int rejected = origin.rejected().size();
    if (accepted + rejected > 0) {
      add(facts, "search", "%d pairs of layers accepted, %d refused", accepted, rejected);
    }
  }

  private static void addText(Map<String, List<String>> facts, String name, DatasetReference text) {
    if (text != null) {
      String digest = text.sha256() == null ? "" : ", sha256 " + text.sha256();
      add(facts, name, "%s%s", text.name(), digest);
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
}
