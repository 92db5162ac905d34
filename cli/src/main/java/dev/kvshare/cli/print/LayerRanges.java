package dev.kvshare.cli.print;

import java.util.ArrayList;
import java.util.List;

/** Writes ascending layer numbers briefly. */
public final class LayerRanges {
  private LayerRanges() {}

  /** For example "layers 0-4, 6-10" for the numbers from 0 to 10 without 5. */
  public static String text(List<Integer> layers) {
    List<String> ranges = new ArrayList<>();
    int start = 0;
    for (int i = 1; i <= layers.size(); i++) {
      if (i == layers.size() || layers.get(i) != layers.get(i - 1) + 1) {
        int first = layers.get(start);
        int last = layers.get(i - 1);
        ranges.add(first == last ? String.valueOf(first) : first + "-" + last);
        start = i;
      }
    }
    return (layers.size() == 1 ? "layer " : "layers ") + String.join(", ", ranges);
  }
}
