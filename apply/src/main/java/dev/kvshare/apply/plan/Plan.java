package dev.kvshare.apply.plan;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * What every layer of a model does with keys and values, and how prompts are processed. Immutable.
 *
 * @param map which layer reads whose keys and values
 * @param windows the layers that see the first and last tokens of a text only, besides what the
 *     model itself restricts; null for none
 * @param prefill how a prompt is computed
 * @param upward how prompts are processed when a source lies above its reader, else null
 * @param hidesOwnToken whether no layer sees the keys and values of the current token, as with
 *     {@code force_nodiag} of the LCKV code; layers that read from above never do
 */
public record Plan(
    SharingMap map, Windows windows, Prefill prefill, UpwardReading upward, boolean hidesOwnToken) {

  /** How a prompt is computed. */
  public enum Prefill {
    /** Under the plan, which is the cheapest way. */
    PLAN,
    /**
     * As the unshared model does, layer after layer, with the checkpoint's weights; what the plan
     * does not keep of a layer is dropped when the prompt is through it. For plans whose layers
     * read from below.
     */
    EXACT
  }

  /**
   * The layers with a window.
   *
   * @param layers ascending, at least one
   * @param first so many first tokens of a text are seen besides the last ones; a layer with a
   *     window of the model itself goes without
   * @param last so many last tokens are seen, the current one included; at least 1
   */
  public record Windows(List<Integer> layers, int first, int last) {
    public Windows {
      layers = layers.stream().sorted().distinct().toList();
      if (layers.isEmpty() || first < 0 || last < 1) {
        throw new IllegalArgumentException(
            "a window has layers, at least 0 first and at least 1 last token, found the first %d and last %d of layers %s"
                .formatted(first, last, layers));
      }
    }

    /** Windows of {@code layers}, null where there are none. */
    public static Windows of(List<Integer> layers, int first, int last) {
      return layers.isEmpty() ? null : new Windows(layers, first, last);
    }

    /** The tokens that a layer sees of a long text. */
    public long tokens() {
      return (long) first + last;
    }
  }

  /** What one layer does with its keys and values. */
  public sealed interface LayerAction {
    /** Keeps those of the whole text. */
    record Own() implements LayerAction {}

    /**
     * Keeps none and reads those of another layer.
     *
     * @param source the layer read from
     */
    record Share(int source) implements LayerAction {}

    /**
     * Sees the first and last tokens of its own only.
     *
     * @param first first tokens
     * @param last last tokens, the current one included
     */
    record Window(int first, int last) implements LayerAction {}
  }

  public Plan {
    Objects.requireNonNull(map, "map");
    Objects.requireNonNull(prefill, "prefill");
    int layers = map.layers();
    if (windows != null
        && (windows.layers().get(0) < 0 || Collections.max(windows.layers()) >= layers)) {
      throw new IllegalArgumentException(
          "the windowed layers %s must be 0 to %d".formatted(windows.layers(), layers - 1));
    }
  }

  /** The unshared model with {@code layers} layers. */
  public static Plan identity(int layers) {
    return of(SharingMap.identity(layers));
  }

  /** A map without windows and without a way to read upwards. */
  public static Plan of(SharingMap map) {
    return new Plan(map, null, Prefill.PLAN, null, false);
  }

  /** The same with other windows; null for none. */
  public Plan withWindows(Windows other) {
    return new Plan(map, other, prefill, upward, hidesOwnToken);
  }

  /** The same with another way to read upwards; null for none. */
  public Plan withUpward(UpwardReading other) {
    return new Plan(map, windows, prefill, other, hidesOwnToken);
  }

  public Plan withPrefill(Prefill other) {
    return new Plan(map, windows, other, upward, hidesOwnToken);
  }

  /**
   * What {@code layer} does; a layer that reads another one shares, whether it has a window too.
   */
  public LayerAction action(int layer) {
    if (map.source(layer) != layer) {
      return new LayerAction.Share(map.source(layer));
    }
    return isWindowed(layer)
        ? new LayerAction.Window(windows.first(), windows.last())
        : new LayerAction.Own();
  }

  /** The layers with a window of the plan, ascending; empty for none. */
  public List<Integer> windowedLayers() {
    return windows == null ? List.of() : windows.layers();
  }

  /** Whether the plan gives {@code layer} a window. */
  public boolean isWindowed(int layer) {
    return windowedLayers().contains(layer);
  }

  /** Whether this is a map alone, with sources below their readers. */
  public boolean isPlain() {
    return windows == null && !hidesOwnToken && !map.hasUpwardSources();
  }

  /** Whether {@code layer} keeps less than it would unshared: it reads another or is windowed. */
  public boolean isReduced(int layer) {
    return !map.ownsCache(layer) || isWindowed(layer);
  }

  /**
   * The lowest layer that {@code other} treats otherwise, the number of layers if there is none.
   */
  public int firstDifference(Plan other) {
    int layers = map.layers();
    return IntStream.range(0, layers)
        .filter(
            layer ->
                map.source(layer) != other.map.source(layer)
                    || window(layer, 0) != other.window(layer, 0)
                    || sinks(layer, 0) != other.sinks(layer, 0)
                    || hidesOwnToken(layer) != other.hidesOwnToken(layer))
        .findFirst()
        .orElse(layers);
  }

  /** How many layers keep less than they would unshared. */
  public int reducedLayers() {
    return (int) IntStream.range(0, map.layers()).filter(this::isReduced).count();
  }

  /** Whether {@code layer} sees tokens before the current one only. */
  public boolean hidesOwnToken(int layer) {
    return hidesOwnToken || map.source(layer) > layer;
  }

  /**
   * The keys that a query of {@code layer} sees, its own token included; 0 for all.
   *
   * @param modelWindow the same of the model itself
   */
  public int window(int layer, int modelWindow) {
    if (!isWindowed(layer)) {
      return modelWindow;
    }
    return modelWindow == 0 ? windows.last() : Math.min(modelWindow, windows.last());
  }

  /**
   * The first tokens of a text that a query of {@code layer} sees besides its window.
   *
   * @param modelWindow the window of the model itself
   */
  public int sinks(int layer, int modelWindow) {
    return modelWindow == 0 && isWindowed(layer) ? windows.first() : 0;
  }

  /**
   * Whether the windows of the plan hide what lies between first and last tokens from every reader
   * of {@code owner}, itself included, so that it need not be kept. Never where a source is read
   * before its tokens are written, or where a layer owns a cache and reads another.
   */
  public boolean restricts(int owner) {
    return !map.hasUpwardSources()
        && !map.hasChains()
        && !hidesOwnToken
        && IntStream.range(0, map.layers())
            .filter(layer -> map.source(layer) == owner)
            .allMatch(this::isWindowed);
  }

  /** The same with one more windowed layer; all of them get this window. */
  public Plan withWindowed(int layer, int last, int first) {
    List<Integer> layers = new ArrayList<>(windowedLayers());
    layers.add(layer);
    return withWindows(new Windows(layers, first, last));
  }

  /** Whether a prompt is run through the iterated groups several times. */
  public boolean iterates() {
    return map.hasUpwardSources() && upward instanceof UpwardReading.Parallel;
  }

  /**
   * Whether {@code tokens} new tokens are run one after another: always when {@link
   * UpwardReading.Sequential} says so, else where the passes would give the same and cost more.
   */
  public boolean runsTokenByToken(int tokens) {
    if (upward instanceof UpwardReading.Parallel parallel) {
      return map.hasUpwardSources() && tokens <= parallel.passes();
    }
    return map.hasUpwardSources();
  }

  /** The map, and what there is besides: plans that differ have different texts. */
  @Override
  public String toString() {
    List<String> parts = new ArrayList<>(List.of(map.toString()));
    if (windows != null) {
      parts.add(
          "the first %d and last %d tokens seen by layers %s"
              .formatted(windows.first(), windows.last(), windows.layers()));
    }
    if (prefill == Prefill.EXACT) {
      parts.add("exact prefill");
    }
    if (upward instanceof UpwardReading.Parallel parallel) {
      parts.add("%d + %d passes".formatted(parallel.forwardPasses(), parallel.backwardPasses()));
    } else if (upward != null) {
      parts.add("token by token");
    }
    if (hidesOwnToken) {
      parts.add("own token hidden");
    }
    return String.join(", ", parts);
  }
}
