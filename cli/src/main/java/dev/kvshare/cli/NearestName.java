package dev.kvshare.cli;

import java.util.Collection;
import java.util.Comparator;

/** Finds what somebody who mistyped a name may have meant. */
final class NearestName {
  private NearestName() {}

  /** The name with the fewest letters to change, or null where more than a third would be. */
  static String of(String typed, Collection<String> names) {
    String nearest =
        names.stream().min(Comparator.comparingInt(name -> distance(typed, name))).orElse(null);
    return nearest != null && 3 * distance(typed, nearest) <= typed.length() ? nearest : null;
  }

  /** Letters to insert, delete or replace (Levenshtein's distance). */
  private static int distance(String from, String to) {
    int[] row = new int[to.length() + 1];
    for (int j = 0; j < row.length; j++) {
      row[j] = j;
    }
    for (int i = 1; i <= from.length(); i++) {
      int diagonal = row[0];
      row[0] = i;
      for (int j = 1; j < row.length; j++) {
        int replaced = diagonal + (from.charAt(i - 1) == to.charAt(j - 1) ? 0 : 1);
        diagonal = row[j];
        row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
      }
    }
    return row[row.length - 1];
  }
}
