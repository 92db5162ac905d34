package dev.kvshare.calibrate.report;

import java.util.List;

/** Wording. */
final class Words {
  private Words() {}

  /** "1", "1 and 2", "1, 2 and 3". */
  static String list(List<String> items) {
    if (items.size() < 2) {
      return String.join("", items);
    }
    int last = items.size() - 1;
    return String.join(", ", items.subList(0, last)) + " and " + items.get(last);
  }
}
