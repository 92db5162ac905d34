package dev.kvshare.apply.plan.schemes;

/** Where in its group the layer stands whose keys and values the group reads. */
public enum Position {
  /** The lowest layer. */
  BOTTOM,
  /** The middle one, the lower of two. */
  MIDDLE,
  /** The highest layer. */
  TOP;

  /** The source of the layers {@code from} to {@code to - 1}. */
  int of(int from, int to) {
    return switch (this) {
      case BOTTOM -> from;
      case MIDDLE -> (from + to - 1) / 2;
      case TOP -> to - 1;
    };
  }
}
