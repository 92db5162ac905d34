package dev.kvshare.calibrate;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.search.Method;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.WindowsMethod;
import java.math.BigDecimal;
import java.util.Locale;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How much of the KV cache of a text a policy may keep, in one of the ways in which people say it.
 */
public sealed interface Keep {

  /** What is kept when nothing is said: 70 % of the KV cache. */
  static Keep usual() {
    return new Fraction(0.7);
  }

  /** Bytes of an element of the caches that are counted. */
  int BYTES_PER_ELEMENT = 2;

  /**
   * How many layers a method has to reduce.
   *
   * @param window what windowed layers keep
   * @param context tokens of the text of which so much is kept; matters where layers are windowed
   * @throws CalibrationException.Usage if a model with these layers cannot keep that
   */
  default SearchGoals goals(Method method, SearchGoals.Window window, int context, ModelSpec spec) {
    int layers = spec.layers();
    long bytes = spec.kvUse(Plan.identity(layers)).bytesPerToken(BYTES_PER_ELEMENT);
    OptionalInt sharing = OptionalInt.empty();
    OptionalInt windowed = OptionalInt.empty();
    if (method.shares()) {
      sharing = OptionalInt.of(layersToShare(layers, bytes));
    }
    if (method.windows()) {
      windowed = layersToWindow(layers, bytes, keptFraction(window, context, spec));
    }
    if (sharing.isEmpty() && windowed.isEmpty() && this instanceof SharedLayers) {
      throw new CalibrationException.Usage(
          "The method %s shares no layers: say how much is to be kept, such as 70%% or 21layers."
              .formatted(method.methodName()));
    }
    if (sharing.isEmpty() && windowed.isEmpty()) {
      throw new CalibrationException.Usage(
          "Windowed layers that keep the first %d and the last %d of %d tokens cannot come to \"%s\": keep more, or give a smaller window."
              .formatted(window.first(), window.last(), context, this));
    }
    return new SearchGoals(sharing, windowed, windowed.isEmpty() ? null : window);
  }

  /** Of the KV cache of a text, where all layers are windowed that can be. */
  private static double keptFraction(SearchGoals.Window window, int context, ModelSpec spec) {
    Plan windowed = Plan.identity(spec.layers());
    for (int layer = 0; layer < spec.layers(); layer++) {
      windowed = windowed.withWindowed(layer, window.last(), window.first());
    }
    return spec.kvUse(windowed).fraction(context);
  }

  /**
   * The smallest number of layers that must share to stay within it.
   *
   * @param layers layers of the model
   * @param bytesPerToken bytes of keys and values a token while no layer shares, with two-byte
   *     elements as in the savings of a policy
   */
  int layersToShare(int layers, long bytesPerToken);

  /**
   * The smallest number of layers that must be windowed, and keep only so much of their cache, to
   * stay within it; empty where no number does, or layers are to share.
   *
   * @param layers layers of the model
   * @param bytesPerToken as above
   * @param kept the fraction that a windowed layer keeps of its cache, up to 1
   */
  OptionalInt layersToWindow(int layers, long bytesPerToken, double kept);

  private static OptionalInt layersToWindow(int layers, double fraction, double kept) {
    double wanted = layers * (1 - fraction) / (1 - kept) - Fraction.ROUNDING;
    return wanted > layers ? OptionalInt.empty() : OptionalInt.of((int) Math.ceil(wanted));
  }

  /** This many layers read another layer's keys and values ({@code --share-layers}). */
  record SharedLayers(int count) implements Keep {
    public SharedLayers {
      requirePositive(count >= 0, "the number of shared layers", count);
    }

    @Override
    public int layersToShare(int layers, long bytesPerToken) {
      if (count >= layers) {
        throw new CalibrationException.Usage(
            "Cannot share %d layers of a model with %d: at least one layer must keep its own keys and values, so ask for 0 to %d."
                .formatted(count, layers, layers - 1));
      }
      return count;
    }

    @Override
    public OptionalInt layersToWindow(int layers, long bytesPerToken, double kept) {
      return OptionalInt.empty();
    }

    @Override
    public String toString() {
      return "share " + count + (count == 1 ? " layer" : " layers");
    }
  }

  /** This many layers keep the first and last tokens only ({@code --window-layers}). */
  record WindowedLayers(int count) implements Keep {
    public WindowedLayers {
      requirePositive(count >= 0, "the number of windowed layers", count);
    }

    @Override
    public int layersToShare(int layers, long bytesPerToken) {
      throw new CalibrationException.Usage(
          "A number of windowed layers is for the method %s: choose it, or say how much is to be kept."
              .formatted(WindowsMethod.NAME));
    }

    @Override
    public OptionalInt layersToWindow(int layers, long bytesPerToken, double kept) {
      if (count > layers) {
        throw new CalibrationException.Usage(
            "Cannot window %d layers of a model with %d: ask for 0 to %d."
                .formatted(count, layers, layers));
      }
      return OptionalInt.of(count);
    }

    @Override
    public String toString() {
      return "window " + count + (count == 1 ? " layer" : " layers");
    }
  }

  /** At most this many layers keep their own keys and values of the whole text. */
  record KeptLayers(int count) implements Keep {
    public KeptLayers {
      requirePositive(count >= 1, "the number of layers kept", count);
    }

    @Override
    public int layersToShare(int layers, long bytesPerToken) {
      if (count > layers) {
        throw new CalibrationException.Usage(
            "Keeping %d layers is more than the model has: it has %d, so ask for 1 to %d layers."
                .formatted(count, layers, layers));
      }
      return layers - count;
    }

    @Override
    public OptionalInt layersToWindow(int layers, long bytesPerToken, double kept) {
      return kept < 1 ? OptionalInt.of(layersToShare(layers, bytesPerToken)) : OptionalInt.empty();
    }

    @Override
    public String toString() {
      return "keep " + count + (count == 1 ? " layer" : " layers");
    }
  }

  /** At most this fraction, in (0, 1], of the KV cache is kept. */
  record Fraction(double fraction) implements Keep {
    /** So that 0.7 of 30 layers is 21 although 0.7 * 30 is just below it in binary. */
    private static final double ROUNDING = 1e-9;

    public Fraction {
      requirePositive(fraction > 0 && fraction <= 1, "the fraction of the KV cache", fraction);
    }

    @Override
    public int layersToShare(int layers, long bytesPerToken) {
      int kept = (int) Math.floor(fraction * layers + ROUNDING);
      if (kept < 1) {
        throw new CalibrationException.Usage(
            "Keeping %s of %d layers keeps not even one layer: ask for at least %s."
                .formatted(fraction, layers, Math.ceil(1000.0 / layers) / 1000));
      }
      return layers - kept;
    }

    @Override
    public OptionalInt layersToWindow(int layers, long bytesPerToken, double kept) {
      return Keep.layersToWindow(layers, fraction, kept);
    }

    @Override
    public String toString() {
      BigDecimal percent = BigDecimal.valueOf(fraction).movePointRight(2).stripTrailingZeros();
      return "keep " + percent.toPlainString() + " %";
    }
  }

  /** At most this many bytes of keys and values a token, counted as the policy's savings are. */
  record BytesPerToken(long bytes) implements Keep {
    public BytesPerToken {
      requirePositive(bytes >= 1, "the bytes per token", bytes);
    }

    @Override
    public int layersToShare(int layers, long bytesPerToken) {
      // Layers of one model cache the same number of bytes wherever they may share.
      long layerBytes = bytesPerToken / layers;
      if (bytes < layerBytes) {
        throw new CalibrationException.Usage(
            "Keeping %d bytes per token is less than one layer needs (%d): ask for %d to %d bytes."
                .formatted(bytes, layerBytes, layerBytes, bytesPerToken));
      }
      return (int) (layers - Math.min(layers, bytes / layerBytes));
    }

    @Override
    public OptionalInt layersToWindow(int layers, long bytesPerToken, double kept) {
      double fraction = Math.min(1, (double) bytes / bytesPerToken);
      return Keep.layersToWindow(layers, fraction, kept);
    }

    @Override
    public String toString() {
      return "keep " + bytes + " bytes per token";
    }
  }

  /**
   * Reads {@code 0.7} or {@code 70%} (of the cache), {@code 21 layers} or {@code 21l} (kept),
   * {@code 9216B} or {@code 9KiB} (per token).
   */
  static Keep parse(String text) {
    Matcher matcher = Syntax.BUDGET.matcher(text.strip().toLowerCase(Locale.ROOT));
    if (matcher.matches()) {
      String number = matcher.group(1);
      String unit = matcher.group(2);
      try {
        switch (unit) {
          case "":
            if (Double.parseDouble(number) <= 1) {
              return new Fraction(Double.parseDouble(number));
            }
            break;
          case "%":
            return new Fraction(Double.parseDouble(number) / 100);
          case "l", "layer", "layers":
            return new KeptLayers(Integer.parseInt(number));
          default:
            return new BytesPerToken(
                Math.multiplyExact(Long.parseLong(number), Syntax.bytesOf(unit)));
        }
      } catch (NumberFormatException | ArithmeticException e) {
        throw new CalibrationException.Usage(Syntax.message(text));
      }
    }
    throw new CalibrationException.Usage(Syntax.message(text));
  }

  private static void requirePositive(boolean holds, String what, Number found) {
    if (!holds) {
      throw new CalibrationException.Usage(
          "Not an amount to keep: "
              + what
              + " cannot be "
              + found
              + ". Give a fraction above 0 and up to 1 such as 0.7, at least one layer such as \"21"
              + " layers\", or at least one byte per token such as 9216B.");
    }
  }

  /** The grammar of {@link #parse}. */
  final class Syntax {
    private static final Pattern BUDGET =
        Pattern.compile("(\\d+(?:\\.\\d+)?|\\.\\d+)\\s*(|%|l|layers?|b|bytes?|kib|mib)");

    private Syntax() {}

    private static long bytesOf(String unit) {
      return switch (unit) {
        case "kib" -> 1L << 10;
        case "mib" -> 1L << 20;
        default -> 1;
      };
    }

    private static String message(String text) {
      return "Not an amount to keep: \""
          + text
          + "\". Give what the policy may keep: a fraction up to 1 such as 0.7 or 70%, a number of"
          + " layers such as \"21 layers\" or 21l, or bytes per token such as 9216B or 9KiB.";
    }
  }
}
