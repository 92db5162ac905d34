package dev.kvshare.datasets;

import java.util.ArrayList;
import java.util.List;

/** Splits text into paragraphs. */
final class Paragraphs {
  private Paragraphs() {}

  /**
   * Returns the paragraphs of {@code text}, none blank: what blank lines separate, or, if no blank
   * line stands between other lines, each line. Blanks before the first character of a paragraph
   * are kept, those behind its last one are not.
   */
  static List<String> of(String text) {
    List<String> lines = text.lines().toList();
    List<String> paragraphs = new ArrayList<>();
    List<String> current = new ArrayList<>();
    for (String line : lines) {
      if (!line.isBlank()) {
        current.add(line);
      } else if (!current.isEmpty()) {
        paragraphs.add(String.join("\n", current).stripTrailing());
        current.clear();
      }
    }
    if (!current.isEmpty()) {
      paragraphs.add(String.join("\n", current).stripTrailing());
    }
    boolean separatedByBlankLines = paragraphs.size() > 1;
    return separatedByBlankLines
        ? paragraphs
        : lines.stream().filter(line -> !line.isBlank()).map(String::stripTrailing).toList();
  }
}
