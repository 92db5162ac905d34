package dev.kvshare.calibrate.repair;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/** Windows in an order drawn anew whenever all were given. */
final class PassageOrder {
  private final List<int[]> windows;
  private final Random random;
  private int next;

  PassageOrder(List<int[]> windows, long seed) {
    this.windows = new ArrayList<>(windows);
    this.random = new Random(seed);
    this.next = windows.size();
  }

  /**
   * The next windows.
   *
   * @return {@code count} of them, fewer where there are fewer in all
   */
  List<int[]> next(int count) {
    if (next + count > windows.size()) {
      Collections.shuffle(windows, random);
      next = 0;
    }
    int end = Math.min(windows.size(), next + count);
    List<int[]> chosen = List.copyOf(windows.subList(next, end));
    next = end;
    return chosen;
  }
}
