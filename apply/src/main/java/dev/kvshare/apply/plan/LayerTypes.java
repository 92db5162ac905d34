package dev.kvshare.apply.plan;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * The notation of the LCKV code (github.com/whyNLP/LCKV, {@code layer_types}): for each layer the
 * number of the layer whose keys and values it reads, joined by underscores, with {@code s} behind
 * the number of a layer whose attention has a sliding window. {@code 0_6_6_6_6_6_6_7} is LCKV with
 * two warm-up layers, {@code 0s_1s_2_2} YOCO.
 *
 * @param map which layer reads whose keys and values; chains are allowed, as in that code
 * @param windowedLayers the layers marked {@code s}, ascending
 */
public record LayerTypes(SharingMap map, List<Integer> windowedLayers) {
  private static final Pattern LAYER = Pattern.compile("(\\d{1,5})(s)?");

  /** The window of the LCKV code where none is given. */
  public static final int DEFAULT_SLIDING_WINDOW = 4096;

  public LayerTypes {
    windowedLayers = List.copyOf(windowedLayers);
  }

  /**
   * Reads the notation.
   *
   * @throws IllegalArgumentException if the text is not in this notation or names a layer that does
   *     not exist
   */
  public static LayerTypes parse(String text) {
    String[] words = text.strip().split("_", -1);
    int[] source = new int[words.length];
    List<Integer> windowed = new ArrayList<>();
    for (int layer = 0; layer < words.length; layer++) {
      Matcher matcher = LAYER.matcher(words[layer]);
      if (!matcher.matches()) {
        throw new IllegalArgumentException(
            "the layer types '%s' have '%s' for layer %d: expected the number of the layer that it reads, with an 's' behind it for a sliding window, as in 0s_1s_2_2"
                .formatted(text, words[layer], layer));
      }
      source[layer] = Integer.parseInt(matcher.group(1));
      if (matcher.group(2) != null) {
        windowed.add(layer);
      }
    }
    return new LayerTypes(SharingMap.withChains(source), windowed);
  }

  public static LayerTypes of(Plan plan) {
    return new LayerTypes(plan.map(), plan.windowedLayers());
  }

  /**
   * The plan that these layer types mean.
   *
   * @param slidingWindow keys that a windowed layer sees, its own token included
   * @param upward how prompts are processed; without effect where no source lies above its reader
   * @param hidesOwnToken {@code force_nodiag}: no layer sees the current token
   */
  public Plan plan(int slidingWindow, UpwardReading upward, boolean hidesOwnToken) {
    return new Plan(
        map,
        Plan.Windows.of(windowedLayers, 0, slidingWindow),
        Plan.Prefill.PLAN,
        map.hasUpwardSources() ? upward : null,
        hidesOwnToken);
  }

  /** Returns the notation, which {@link #parse} reads. */
  @Override
  public String toString() {
    return IntStream.range(0, map.layers())
        .mapToObj(layer -> map.source(layer) + (windowedLayers.contains(layer) ? "s" : ""))
        .collect(Collectors.joining("_"));
  }
}
