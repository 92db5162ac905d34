package dev.kvshare.cli.options;

import static dev.kvshare.apply.plan.UpwardReading.LCKV_DEFAULT;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.plan.schemes.SchemeSettings;
import picocli.CommandLine.Option;

/** What there is to say of a sharing scheme besides its name. */
public class SchemeOptions {
  @Option(names = "--layer-types", paramLabel = "TYPES")
  public String layerTypes;

  @Option(names = "--kv-layers", paramLabel = "N", converter = Converters.Positive.class)
  Integer kvLayers;

  @Option(names = "--warmup", paramLabel = "N", converter = Converters.Count.class)
  Integer warmup;

  @Option(names = "--sliding-window", paramLabel = "TOKENS", converter = Converters.Positive.class)
  Integer slidingWindow;

  @Option(names = "--forward-passes", paramLabel = "N", converter = Converters.Count.class)
  Integer forwardPasses;

  @Option(names = "--backward-passes", paramLabel = "N", converter = Converters.Count.class)
  Integer backwardPasses;

  @Option(names = "--sequential")
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
    return settings(schemeOrNull).plan(layers, 0, false);
  }

  /** The window of the layers that have one. */
  int window(String schemeOrNull) {
    return settings(schemeOrNull).slidingWindow();
  }

  SchemeSettings settings(String schemeOrNull) {
    UpwardReading upward =
        UpwardReading.lckv(
            forwardPasses == null ? LCKV_DEFAULT.forwardPasses() : forwardPasses,
            backwardPasses == null ? LCKV_DEFAULT.backwardPasses() : backwardPasses,
            sequential);
    return new SchemeSettings(schemeOrNull, layerTypes, kvLayers, warmup, slidingWindow, upward);
  }
}
