package dev.kvshare.eval.speed;

import dev.kvshare.eval.format.Table;
import java.util.ArrayList;
import java.util.List;

/**
 * From which length of text on a policy takes less time than the unshared model.
 *
 * @param place where it does
 * @param fromTokens of {@link Place#FROM} the length, interpolated between measured ones; else NaN
 * @param faster the measured contexts at which it does
 */
record Crossing(Place place, double fromTokens, List<Integer> faster) {
  /** A policy is called faster when it takes this part less time: less than that is noise. */
  static final double LEAST = 0.02;

  enum Place {
    /** At every measured context. */
    EVERYWHERE,
    /** At the longer ones. */
    FROM,
    /** Not at the longest one, but at others. */
    SOMEWHERE,
    /** At none. */
    NEVER
  }

  /**
   * Compares two times at several contexts. Between two of them both are taken to grow evenly with
   * the context, as attention does.
   *
   * @param contexts in tokens, ascending
   */
  static Crossing of(List<Integer> contexts, double[] unsharedSeconds, double[] seconds) {
    List<Integer> faster = new ArrayList<>();
    double[] excess = new double[seconds.length];
    int slow = -1;
    for (int i = 0; i < excess.length; i++) {
      excess[i] = seconds[i] - (1 - LEAST) * unsharedSeconds[i];
      if (excess[i] <= 0) {
        faster.add(contexts.get(i));
      } else {
        slow = i;
      }
    }
    if (faster.isEmpty()) {
      return new Crossing(Place.NEVER, Double.NaN, faster);
    }
    if (slow == -1) {
      return new Crossing(Place.EVERYWHERE, Double.NaN, faster);
    }
    if (slow == excess.length - 1) {
      return new Crossing(Place.SOMEWHERE, Double.NaN, faster);
    }
    double part = excess[slow] / (excess[slow] - excess[slow + 1]);
    int from = contexts.get(slow);
    return new Crossing(
        Place.FROM, from + part * (contexts.get(slow + 1) - from), List.copyOf(faster));
  }

  /** The answer in words. */
  String words() {
    return switch (place) {
      case EVERYWHERE -> "faster everywhere";
      case FROM ->
          Table.format(
              "faster from about %,d tokens on; below that it does not pay in time",
              rounded(fromTokens));
      case SOMEWHERE -> "faster only at %s, not at the longest context".formatted(tokens(faster));
      case NEVER -> "never faster; it does not pay in time";
    };
  }

  static String tokens(List<Integer> contexts) {
    List<String> words = contexts.stream().map(c -> Table.format("%,d", c)).toList();
    int last = words.size() - 1;
    String end = words.get(last) + " tokens";
    return last == 0 ? end : String.join(", ", words.subList(0, last)) + " and " + end;
  }

  /** To two digits: the interpolation knows no more. */
  private static long rounded(double tokens) {
    double unit = Math.pow(10, Math.max(0, Math.floor(Math.log10(tokens)) - 1));
    return Math.round(Math.round(tokens / unit) * unit);
  }
}
