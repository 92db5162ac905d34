package dev.kvshare.apply.generate;

import dev.kvshare.apply.decoder.Goldens;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** The files of {@code src/test/resources/conformance}: see its README. */
public final class Conformance {
  /** A folder a model, a policy a plan. */
  public static final Path ROOT = Goldens.ROOT.resolveSibling("conformance");

  /** Largest difference of logits. */
  public static final double TOLERANCE = 2e-4;

  public static final int NEW_TOKENS = 24;

  /** The end token of most of these models, which is never chosen. */
  private static final int END = 2;

  private static final String BUILT_IN = "builtin";

  private static final Map<String, String> MODELS =
      new TreeMap<>(
          Map.of(
              "gemma3",
              "variants/gemma3_mixed",
              "llama",
              "architectures/llama",
              "mistral",
              "architectures/mistral",
              "phi3",
              "architectures/phi3",
              "qwen2",
              "architectures/qwen2",
              "qwen3",
              "architectures/qwen3",
              BUILT_IN,
              "models/builtin"));

  private Conformance() {}

  public static Set<String> models() {
    return MODELS.keySet();
  }

  /** The checkpoint of a model. */
  public static Path checkpoint(String model) {
    Path root = model.equals(BUILT_IN) ? Path.of(System.getProperty("kvshare.root")) : Goldens.ROOT;
    return root.resolve(MODELS.get(model));
  }

  /** What a runtime was to give under a policy. */
  public static Path expected(Path policy) {
    return policy.resolveSibling(
        policy.getFileName().toString().replace(".json", ".expected.safetensors"));
  }

  /** The greedy token of the logits from {@code from} on. */
  public static int highest(float[] logits, int from, int vocabulary) {
    int best = 0;
    for (int id = 1; id < vocabulary; id++) {
      best = id != END && logits[from + id] > logits[from + best] ? id : best;
    }
    return best;
  }
}
