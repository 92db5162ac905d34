package dev.kvshare.apply.generate;

import java.util.List;

/**
 * Watches a row's text for stop strings. Text that could be the beginning of one is held back, so
 * that nothing of a stop string is ever given out.
 */
final class StopMatcher {
  private final List<String> stopStrings;
  private String held = "";
  private boolean stopped;

  StopMatcher(List<String> stopStrings) {
    this.stopStrings = stopStrings;
  }

  /** Takes the next piece and returns the text that may be given out. */
  String accept(String piece) {
    String text = held + piece;
    int stop = -1;
    for (String stopString : stopStrings) {
      int index = text.indexOf(stopString);
      if (index >= 0 && (stop < 0 || index < stop)) {
        stop = index;
      }
    }
    if (stop >= 0) {
      stopped = true;
      held = "";
      return text.substring(0, stop);
    }
    int border = text.length() - longestBeginning(text);
    held = text.substring(border);
    return text.substring(0, border);
  }

  boolean stopped() {
    return stopped;
  }

  /** Returns the text still held back. */
  String rest() {
    String rest = held;
    held = "";
    return rest;
  }

  /** Length of the longest end of the text with which a stop string begins. */
  private int longestBeginning(String text) {
    int longest = 0;
    for (String stopString : stopStrings) {
      for (int length = Math.min(text.length(), stopString.length() - 1);
          length > longest;
          length--) {
        if (stopString.startsWith(text.substring(text.length() - length))) {
          longest = length;
        }
      }
    }
    return longest;
  }
}
