package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.model.ModelConfig;
import java.util.List;

/**
 * Reads rotary embeddings in both generations of {@code config.json}: {@code rope_theta}, {@code
 * rope_scaling} and {@code partial_rotary_factor} at the top, or all of them in {@code
 * rope_parameters}, there also once for each layer type.
 */
public final class RotaryConfig {
  private static final String SLIDING = "sliding_attention";
  private static final String PARTIAL_FACTOR = "partial_rotary_factor";
  private static final String TRAINED_POSITIONS = "original_max_position_embeddings";

  private final ModelConfig config;
  private final int headSize;
  private final int maxPositions;
  private double base;
  private double partialFactor;
  private int trainedPositions;
  private boolean onlyLongRope;
  private boolean mayBePartial;

  /** Reads with theta {@code base} where the file has none. */
  public RotaryConfig(ModelConfig config, Dimensions sizes, double base) {
    this.config = config;
    this.headSize = sizes.headSize();
    this.maxPositions = sizes.maxPositions();
    this.base = config.above0("rope_theta", base);
    this.partialFactor = config.number(PARTIAL_FACTOR, 1);
    ConfigKeys.ignore(config, TRAINED_POSITIONS);
  }

  /** Lets a part of each head be rotated, {@code factor} where the file does not say. */
  public RotaryConfig withPartialFactor(double factor) {
    mayBePartial = true;
    partialFactor = config.number(PARTIAL_FACTOR, factor);
    return this;
  }

  /** Takes every scaling for LongRoPE, as Phi 3 does; {@code trained} positions where absent. */
  public RotaryConfig withLongRope(int trained) {
    onlyLongRope = true;
    trainedPositions = trained;
    return this;
  }

  /** The rotary embedding of sliding layers, with theta {@code localBase} where absent. */
  public RotarySpec readLocal(double localBase) {
    ModelConfig section = config.child("rope_parameters");
    boolean own = section != null && section.isObject(SLIDING);
    base = localBase;
    return readSection(own ? section.child(SLIDING) : null);
  }

  /** The rotary embedding of all layers. */
  public RotarySpec read() {
    return read(null);
  }

  /** The rotary embedding of the layers of one type; null where all layers are alike. */
  public RotarySpec read(String layerType) {
    ModelConfig section = config.child("rope_parameters");
    if (section == null) {
      section = config.child("rope_scaling");
    } else if (layerType != null && section.isObject(layerType)) {
      section = section.child(layerType);
    }
    return readSection(section);
  }

  /** The rotary embedding that one section describes, if there is one. */
  private RotarySpec readSection(ModelConfig section) {
    if (section == null) {
      return new RotarySpec(base, dimensions(config, partialFactor), new RotarySpec.Unscaled());
    }
    String kind = section.string("type", "default");
    kind = section.string("rope_type", kind);
    double theta = section.above0("rope_theta", base);
    int dimensions = dimensions(section, section.number(PARTIAL_FACTOR, partialFactor));
    if (onlyLongRope && (kind.equals("su") || kind.equals("yarn"))) {
      kind = "longrope";
    }
    RotarySpec.Scaling scaling =
        switch (kind) {
          case "default" -> new RotarySpec.Unscaled();
          case "linear" -> new RotarySpec.Linear(factor(section));
          case "dynamic" -> new RotarySpec.Dynamic(factor(section), maxPositions);
          case "llama3" -> llama3(section);
          case "yarn" -> yarn(section);
          case "longrope" -> longRope(section, dimensions);
          default ->
              throw section.unsupported(
                  section.contains("rope_type") ? "rope_type" : "type",
                  "but one of default, linear, dynamic, llama3, yarn, longrope is computed");
        };
    ConfigKeys.warnOfIgnored(section);
    return new RotarySpec(theta, dimensions, scaling);
  }

  private RotarySpec.Llama3 llama3(ModelConfig section) {
    double low = section.number("low_freq_factor");
    double high = section.number("high_freq_factor");
    if (!(low > 0 && low < high)) {
      throw section.invalid(
          "low_freq_factor",
          "a number above 0 and below high_freq_factor (" + high + ") is expected");
    }
    return new RotarySpec.Llama3(factor(section), low, high, trainedPositions(section));
  }

  private static double factor(ModelConfig section) {
    return section.above0("factor", section.number("factor"));
  }

  private RotarySpec.Yarn yarn(ModelConfig section) {
    int trained = trainedPositions(section);
    double factor = section.above0("factor", (double) maxPositions / trained);
    double scale = section.number("mscale", 0);
    double scaleAllDimensions = section.number("mscale_all_dim", 0);
    double usual =
        scale != 0 && scaleAllDimensions != 0
            ? yarnScale(factor, scale) / yarnScale(factor, scaleAllDimensions)
            : yarnScale(factor, 1);
    return new RotarySpec.Yarn(
        factor,
        section.above0("attention_factor", usual),
        section.above0("beta_fast", 32),
        section.above0("beta_slow", 1),
        trained,
        section.bool("truncate", true));
  }

  private static double yarnScale(double factor, double scale) {
    return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
  }

  private RotarySpec.LongRope longRope(ModelConfig section, int dimensions) {
    int trained = trainedPositions(section);
    double factor = section.above0("factor", (double) maxPositions / trained);
    double usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(trained));
    return new RotarySpec.LongRope(
        factors(section, "short_factor", dimensions),
        factors(section, "long_factor", dimensions),
        section.above0("attention_factor", usual),
        trained);
  }

  private static List<Double> factors(ModelConfig section, String key, int dimensions) {
    List<Double> factors = section.numbers(key);
    if (factors.stream().anyMatch(factor -> !(factor > 0))) {
      throw section.invalid(key, "numbers above 0 are expected");
    }
    if (factors.size() != dimensions / 2) {
      throw section.invalid(
          key,
          "%d numbers are expected, one for each rotated pair of a head, but there are %d"
              .formatted(dimensions / 2, factors.size()));
    }
    return factors;
  }

  /** Phi 3 always has one at the top, which goes before the one in the section. */
  private int trainedPositions(ModelConfig section) {
    int whereAbsent = onlyLongRope ? trainedPositions : maxPositions;
    int inSection = section.positiveOr(TRAINED_POSITIONS, whereAbsent);
    return config.positiveOr(TRAINED_POSITIONS, onlyLongRope ? trainedPositions : inSection);
  }

  private int dimensions(ModelConfig section, double factor) {
    ModelConfig where = section.contains(PARTIAL_FACTOR) ? section : config;
    if (factor != 1 && !mayBePartial) {
      throw where.unsupported(PARTIAL_FACTOR, "but this family rotates whole heads");
    }
    int dimensions = (int) (headSize * factor);
    if (dimensions < 2 || dimensions > headSize || dimensions % 2 != 0) {
      throw where.invalid(
          PARTIAL_FACTOR,
          "an even number of rotated dimensions between 2 and the head size %d is expected, not %d"
              .formatted(headSize, dimensions));
    }
    return dimensions;
  }
}
