package dev.kvshare.cli.options;

import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.plan.schemes.Scheme;
import picocli.CommandLine.Option;

/** The options that choose a sharing scheme by its name or in the notation of the LCKV code. */
public class SchemeOptions {
  @Everyday
  @Option(
      names = "--scheme",
      paramLabel = "NAME",
      description = {
        "A sharing scheme of the papers, such as sandwich-middle, cla-2, yoco or lckv.",
        "pizza-, sandwich- and lasagna- with -bottom, -middle or -top: the nine configurations of arXiv 2410.14442: ordinary layers at the bottom, at both ends or nowhere, and where the source of a group stands.",
        "cla-K: Cross-Layer Attention, arXiv 2405.12981, groups of K layers.",
        "yoco: You Only Cache Once, arXiv 2405.05254.",
        "mixattention: MixAttention, arXiv 2409.15012, in the form Pairs.",
        "lckv: Layer-Condensed KV Cache, arXiv 2405.10637, the same as sandwich-top."
      })
  String scheme;

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
          "Ordinary layers, in which nothing is shared. Default: one less than --kv-layers, 0 for"
              + " lasagna, 2 for lckv.")
  Integer warmup;

  @Option(
      names = "--layer-types",
      paramLabel = "TYPES",
      description =
          "The same in the notation of the LCKV code: for each layer the one that it reads, with s"
              + " for a sliding window, as in 0_6_6_6_6_6_6_7 or 0s_1s_2_2.")
  public String layerTypes;

  @Option(
      names = "--sliding-window",
      paramLabel = "TOKENS",
      converter = Converters.Positive.class,
      description =
          "Tokens that a layer with a sliding window sees, the current one included. Default: 4096;"
              + " 1024 for yoco and mixattention.")
  Integer slidingWindow;

  @Option(
      names = "--forward-passes",
      paramLabel = "N",
      converter = Converters.Count.class,
      description =
          "Where a source lies above its reader, a prompt is run through these layers in N passes"
              + " and those of --backward-passes. Default: 7.")
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
          "Where a source lies above its reader, run a prompt token by token, whatever the numbers"
              + " of passes.")
  boolean sequential;

  public boolean isGiven() {
    return scheme != null || layerTypes != null;
  }

  /** What is wrong with the combination, or null. */
  public String problem() {
    if (scheme != null && layerTypes != null) {
      return "--scheme and --layer-types both choose the sharing: give one of them";
    }
    if (scheme == null && (kvLayers != null || warmup != null)) {
      return "--kv-layers and --warmup belong to --scheme";
    }
    boolean reading = forwardPasses != null || backwardPasses != null;
    if (!isGiven() && (reading || sequential || slidingWindow != null)) {
      return "--sliding-window, --sequential and the numbers of passes belong to --scheme or --layer-types";
    }
    return null;
  }

  /** The name for a policy: the scheme, or that the layer types were given. */
  public String name() {
    return scheme != null ? scheme : "layer-types";
  }

  /**
   * The plan that the options choose.
   *
   * @param layers of the model
   * @throws IllegalArgumentException if there is no such scheme, or it does not fit the model
   */
  public Plan plan(int layers) {
    return types(layers).plan(window(), reading(), false);
  }

  /** The window of the layers that have one. */
  int window() {
    if (slidingWindow != null) {
      return slidingWindow;
    }
    return scheme == null ? LayerTypes.DEFAULT_SLIDING_WINDOW : named().slidingWindow();
  }

  /**
   * The layer types that the options choose.
   *
   * @param layers of the model
   * @throws IllegalArgumentException if there is no such scheme, or it does not fit the model
   */
  LayerTypes types(int layers) {
    if (scheme != null) {
      return named().layerTypes(layers);
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

  private Scheme named() {
    return Scheme.of(scheme, kvLayers, warmup);
  }
}
