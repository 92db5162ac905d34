package dev.kvshare.apply.plan;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Which layer reads whose keys and values. Immutable.
 *
 * <p>{@code source(i) == i} means that layer i keeps its own keys and values. In a map of a policy
 * every source keeps its own: a layer never reads from a layer that itself reads from another one
 * (no chains). Checkpoints of the LCKV code may have chains, see {@link #withChains}. A source may
 * lie above its reader, as in the layer-condensed KV cache (arXiv 2405.10637); see {@link
 * #hasUpwardSources()}.
 */
public final class SharingMap {
  private final int[] source;
  private final boolean[] owner;

  private SharingMap(int[] source) {
    this.source = source;
    this.owner = new boolean[source.length];
    for (int target : source) {
      owner[target] = true;
    }
  }

  /** Returns the map of an unshared model with {@code layers} layers. */
  public static SharingMap identity(int layers) {
    return of(IntStream.range(0, layers).toArray());
  }

  /**
   * Returns the map in which layer i reads the keys and values of layer {@code source[i]}.
   *
   * @throws IllegalArgumentException if there is no layer, a source does not exist, or a source
   *     does not keep its own keys and values
   */
  public static SharingMap of(int... source) {
    return checked(source, problems(source));
  }

  /**
   * Returns a map in which a source may itself read from another layer: it then makes keys and
   * values for its readers and does not look at them, as {@code layer_types} of the LCKV code
   * allows.
   *
   * @throws IllegalArgumentException if there is no layer or a source does not exist
   */
  public static SharingMap withChains(int... source) {
    return checked(source, problems(source, true));
  }

  private static SharingMap checked(int[] source, List<String> problems) {
    if (!problems.isEmpty()) {
      throw new IllegalArgumentException(String.join("; ", problems));
    }
    return new SharingMap(source.clone());
  }

  /** Every violation of the rules of a sharing map, in layer order; empty for a valid map. */
  public static List<String> problems(int[] source) {
    return problems(source, false);
  }

  private static List<String> problems(int[] source, boolean chains) {
    if (source.length == 0) {
      return List.of("a sharing map needs at least one layer, found none");
    }
    return IntStream.range(0, source.length)
        .mapToObj(layer -> problem(source, layer, chains))
        .filter(problem -> !problem.isEmpty())
        .toList();
  }

  private static String problem(int[] source, int layer, boolean chains) {
    int target = source[layer];
    if (target < 0 || target >= source.length) {
      return "layer %d reads layer %d, which does not exist: a source must be 0 to %d"
          .formatted(layer, target, source.length - 1);
    }
    int next = source[target];
    if (next != target && !chains) {
      return "layer %d reads layer %d, which itself reads layer %d: a source must keep its own keys and values"
          .formatted(layer, target, next);
    }
    return "";
  }

  public int layers() {
    return source.length;
  }

  /** Returns the layer whose keys and values {@code layer} reads. */
  public int source(int layer) {
    return source[layer];
  }

  /** Returns whether {@code layer} makes keys and values that some layer reads: it has a cache. */
  public boolean ownsCache(int layer) {
    return owner[layer];
  }

  /** Returns whether some source itself reads from another layer. */
  public boolean hasChains() {
    return IntStream.range(0, source.length)
        .anyMatch(layer -> owner[layer] && source[layer] != layer);
  }

  /** Returns the layers that keep their own keys and values, ascending. */
  public List<Integer> owners() {
    return IntStream.range(0, source.length).filter(this::ownsCache).boxed().toList();
  }

  /** Returns how many layers keep their own keys and values. */
  public int ownedLayers() {
    return (int) IntStream.range(0, source.length).filter(this::ownsCache).count();
  }

  public int sharedLayers() {
    return source.length - ownedLayers();
  }

  /** Returns the highest layer that keeps its own keys and values. */
  public int highestOwner() {
    return IntStream.range(0, source.length).filter(this::ownsCache).max().getAsInt();
  }

  /** Returns whether no layer shares. */
  public boolean isIdentity() {
    return IntStream.range(0, source.length).allMatch(layer -> source[layer] == layer);
  }

  /** Returns whether some layer reads from a layer above it. */
  public boolean hasUpwardSources() {
    return IntStream.range(0, source.length).anyMatch(layer -> source[layer] > layer);
  }

  /** Returns the sources as a new array, indexed by layer. */
  public int[] toArray() {
    return source.clone();
  }

  /**
   * Returns this map with {@code layer} reading from {@code newSource}, chains resolved: if {@code
   * newSource} itself reads from another layer, that one is taken, and layers that read from {@code
   * layer} follow it. For sources below their readers this is KVSharer's {@code map[layer] =
   * source} followed by {@code map[k] = map[map[k]]} for ascending k (arXiv 2410.18517, section 3).
   *
   * @throws IllegalArgumentException if a layer does not exist or {@code newSource} would have to
   *     read from itself through {@code layer}
   */
  public SharingMap withShared(int layer, int newSource) {
    if (layer < 0 || layer >= source.length || newSource < 0 || newSource >= source.length) {
      throw new IllegalArgumentException(
          "layer %d cannot read layer %d: the map has layers 0 to %d"
              .formatted(layer, newSource, source.length - 1));
    }
    int owner = source[newSource];
    if (owner == layer && newSource != layer) {
      throw new IllegalArgumentException(
          "layer %d cannot read layer %d, which reads layer %d".formatted(layer, newSource, layer));
    }
    int[] resolved = source.clone();
    for (int reader = 0; reader < resolved.length; reader++) {
      if (reader == layer || resolved[reader] == layer) {
        resolved[reader] = owner;
      }
    }
    return of(resolved);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof SharingMap map && Arrays.equals(source, map.source);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(source);
  }

  /** Returns the sharing layers only, as in {@code "30 layers, 2 shared: 5<-1 7<-4"}. */
  @Override
  public String toString() {
    String head = "%d layers, %d shared".formatted(layers(), sharedLayers());
    if (isIdentity()) {
      return head;
    }
    return IntStream.range(0, source.length)
        .filter(layer -> source[layer] != layer)
        .mapToObj(layer -> layer + "<-" + source[layer])
        .collect(Collectors.joining(" ", head + ": ", ""));
  }
}
