package dev.kvshare.apply.plan;

import dev.kvshare.apply.policy.Policy;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Everything that decides which keys and values a layer sees while a model runs: a sharing map, the
 * windows that a policy sets, and how sources above their readers are read. Immutable.
 *
 * @param map which layer reads whose keys and values
 * @param slidingWindow keys that a query of a windowed layer sees, its own token included; 0 where
 *     no layer is windowed
 * @param sinks so many first tokens of a text are seen by windowed layers besides the window; a
 *     layer with a window of the model itself goes without
 * @param windowedLayers the layers restricted to {@code slidingWindow}, ascending, besides what the
 *     model itself restricts
 * @param upward how prompts are processed when a source lies above its reader, else null
 * @param hidesOwnToken whether no layer sees the keys and values of the current token, as with
 *     {@code force_nodiag} of the LCKV code; layers that read from above never do
 */
public record Plan(
    SharingMap map,
    int slidingWindow,
    int sinks,
    List<Integer> windowedLayers,
    UpwardReading upward,
    boolean hidesOwnToken) {

  /** Sorts the list and checks that the parts fit each other. */
  public Plan {
    windowedLayers = windowedLayers.stream().sorted().toList();
    if (slidingWindow < 0 || (slidingWindow == 0 && !windowedLayers.isEmpty())) {
      throw new IllegalArgumentException(
          "a sliding window of %d tokens cannot restrict the layers %s: it must be at least 1"
              .formatted(slidingWindow, windowedLayers));
    }
    if (sinks < 0 || (sinks > 0 && windowedLayers.isEmpty())) {
      throw new IllegalArgumentException(
          "%d attention sinks without a windowed layer: they belong to windows".formatted(sinks));
    }
    int layers = map.layers();
    if (windowedLayers.stream().anyMatch(layer -> layer < 0 || layer >= layers)) {
      throw new IllegalArgumentException(
          "the windowed layers %s must be 0 to %d".formatted(windowedLayers, layers - 1));
    }
  }

  /** The unshared model with {@code layers} layers. */
  public static Plan identity(int layers) {
    return of(SharingMap.identity(layers));
  }

  /** A map without windows and without a way to read upwards. */
  public static Plan of(SharingMap map) {
    return new Plan(map, 0, 0, List.of(), null, false);
  }

  /** What a policy says. */
  public static Plan of(Policy policy) {
    return of(
        policy.map(),
        policy.slidingWindow(),
        policy.attentionSinks(),
        policy.windowedLayers(),
        policy.upward());
  }

  /** What the parts of a policy say; its window may be null. */
  public static Plan of(
      SharingMap map,
      Integer slidingWindow,
      int sinks,
      List<Integer> windowedLayers,
      UpwardReading upward) {
    int window = slidingWindow == null ? 0 : slidingWindow;
    return new Plan(map, window, sinks, windowedLayers, upward, false);
  }

  /** Whether this is a map alone, with sources below their readers. */
  public boolean isPlain() {
    return windowedLayers.isEmpty() && !hidesOwnToken && !map.hasUpwardSources();
  }

  /** Whether {@code layer} keeps less than it would unshared: it reads another or is windowed. */
  public boolean isReduced(int layer) {
    return !map.ownsCache(layer) || windowedLayers.contains(layer);
  }

  /** Whether {@code layer} sees the same keys and values under another plan. */
  private boolean treatsAlike(int layer, Plan other) {
    boolean windowed = windowedLayers.contains(layer);
    return map.source(layer) == other.map.source(layer)
        && windowed == other.windowedLayers.contains(layer)
        && (!windowed || (slidingWindow == other.slidingWindow && sinks == other.sinks))
        && hidesOwnToken(layer) == other.hidesOwnToken(layer);
  }

  /**
   * The lowest layer that {@code other} treats otherwise, the number of layers if there is none.
   */
  public int firstDifference(Plan other) {
    int layers = map.layers();
    return IntStream.range(0, layers)
        .filter(layer -> !treatsAlike(layer, other))
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
    if (!windowedLayers.contains(layer)) {
      return modelWindow;
    }
    return modelWindow == 0 ? slidingWindow : Math.min(modelWindow, slidingWindow);
  }

  /**
   * The first tokens of a text that a query of {@code layer} sees besides its window.
   *
   * @param modelWindow the window of the model itself
   */
  public int sinks(int layer, int modelWindow) {
    return modelWindow == 0 && windowedLayers.contains(layer) ? sinks : 0;
  }

  /**
   * Whether the windows of the plan hide what lies between first and last tokens from every reader
   * of {@code owner}, itself included, so that it need not be kept. Never where a source is read
   * before its tokens are written, or where a layer owns a cache and reads another.
   */
  public boolean restricts(int owner) {
    return dropsTokens()
        && IntStream.range(0, map.layers())
            .filter(layer -> map.source(layer) == owner)
            .allMatch(windowedLayers::contains);
  }

  /**
   * How many layers keep the keys and values of the whole text: they own a cache that the plan does
   * not restrict.
   */
  public int wholeTextLayers() {
    if (!dropsTokens()) {
      return map.ownedLayers();
    }
    Set<Integer> windowed = Set.copyOf(windowedLayers);
    return (int)
        IntStream.range(0, map.layers())
            .filter(layer -> !windowed.contains(layer))
            .map(map::source)
            .distinct()
            .count();
  }

  /** Whether what windows hide need not be kept. */
  private boolean dropsTokens() {
    return !map.hasUpwardSources() && !map.hasChains() && !hidesOwnToken;
  }

  /** The same with one more windowed layer. */
  public Plan withWindowed(int layer, int window, int firstTokens) {
    List<Integer> layers =
        Stream.concat(windowedLayers.stream(), Stream.of(layer)).distinct().toList();
    return new Plan(map, window, firstTokens, layers, upward, hidesOwnToken);
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

  /** Returns the map, and what there is besides. */
  @Override
  public String toString() {
    StringBuilder text = new StringBuilder(map.toString());
    if (!windowedLayers.isEmpty()) {
      text.append(", the first ").append(sinks).append(" and last ").append(slidingWindow);
      text.append(" tokens seen by layers ").append(windowedLayers);
    }
    if (hidesOwnToken) {
      text.append(", own token hidden");
    }
    return text.toString();
  }
}
