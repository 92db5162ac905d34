package dev.kvshare.cli.options;

import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.plan.schemes.Scheme;
import picocli.CommandLine.Option;

/** What there is to say of a sharing scheme besides its name. */
public class SchemeOptions {
  @Option(
      names = "--layer-types",
      paramLabel = "TYPES",
      description = {
        "A plan in the notation of the LCKV code, in place of a scheme's name.",
        "For each layer the one that it reads, with s for a sliding window, as in 0_6_6_6_6_6_6_7 or 0s_1s_2_2."
      })
  public String layerTypes;

  @Option(
      names = "--kv-layers",
      paramLabel = "N",
      converter = Converters.Positive.class,
      description = "Layers that keep a KV cache, ordinary ones included.")
  Integer kvLayers;

  @Option(
      names = "--warmup",
      paramLabel = "N",
      converter = Converters.Count.class,
      description =
          "Ordinary layers, in which nothing is shared. Default: one less than --kv-layers, 0 for lasagna, 2 for lckv.")
  Integer warmup;

  @Option(
      names = "--sliding-window",
      paramLabel = "TOKENS",
      converter = Converters.Positive.class,
      description =
          "Tokens that a layer with a sliding window sees, the current one included. Default: 4096; 1024 for yoco and mixattention.")
  Integer slidingWindow;

  @Option(
      names = "--forward-passes",
      paramLabel = "N",
      converter = Converters.Count.class,
      description =
          "Where a source lies above its reader, a prompt is run through these layers in N passes and those of --backward-passes. Default: 7.")
  Integer forwardPasses;

  @Option(
      names = "--backward-passes",
      paramLabel = "N",
      converter = Converters.Count.class,
      description = "Further passes, at least 1. Default: 2.")
  Integer backwardPasses;

  @Option(
      names = "--sequential",
      description =
          "Where a source lies above its reader, run a prompt token by token, whatever the numbers of passes.")
  boolean sequential;

  /**
   * What is wrong with the combination, or null.
   *
   * @param schemeOrNull the scheme that is named
   * @param option the option that names it
   */
  String problem(String schemeOrNull, String option) {
    if (schemeOrNull != null && layerTypes != null) {
      return "%s and --layer-types both choose the sharing: give one of them".formatted(option);
    }
    if (schemeOrNull == null && (kvLayers != null || warmup != null)) {
      return "--kv-layers and --warmup belong to a scheme: name it with " + option;
    }
    boolean reading = forwardPasses != null || backwardPasses != null || sequential;
    return schemeOrNull == null && layerTypes == null && (reading || slidingWindow != null)
        ? "--sliding-window, --sequential and the numbers of passes belong to a scheme or --layer-types: name it with "
            + option
        : null;
  }

  /**
   * The plan that the options choose.
   *
   * @param schemeOrNull the scheme that is named
   * @param layers of the model
   * @throws IllegalArgumentException if there is no such scheme, or it does not fit the model
   */
  Plan plan(String schemeOrNull, int layers) {
    return types(schemeOrNull, layers).plan(window(schemeOrNull), reading(), false);
  }

  /** The window of the layers that have one. */
  int window(String schemeOrNull) {
    if (slidingWindow != null) {
      return slidingWindow;
    }
    return schemeOrNull == null
        ? LayerTypes.DEFAULT_SLIDING_WINDOW
        : Scheme.of(schemeOrNull, kvLayers, warmup).slidingWindow();
  }

  /** The types of the layers, as {@link #plan} has them. */
  LayerTypes types(String schemeOrNull, int layers) {
    if (schemeOrNull != null) {
      return Scheme.of(schemeOrNull, kvLayers, warmup).layerTypes(layers);
    }
    LayerTypes types = LayerTypes.parse(layerTypes);
    if (types.map().layers() != layers) {
      throw new IllegalArgumentException(
          "the layer types '%s' are for %d layers, but the model has %d"
              .formatted(layerTypes, types.map().layers(), layers));
    }
    return types;
  }

  /** How sources above their readers are read. */
  UpwardReading reading() {
    if (sequential) {
      return new UpwardReading.Sequential();
    }
    UpwardReading.Parallel usual = UpwardReading.LCKV_DEFAULT;
    return new UpwardReading.Parallel(
        forwardPasses == null ? usual.forwardPasses() : forwardPasses,
        backwardPasses == null ? usual.backwardPasses() : Math.max(1, backwardPasses));
  }
}
