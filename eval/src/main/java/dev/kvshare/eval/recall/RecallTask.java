package dev.kvshare.eval.recall;

import java.util.Arrays;
import java.util.Locale;

/**
 * What is asked of a long text, after RULER (arXiv 2404.06654, section 3). Each context has two
 * questions, of which neither is known while it is read; where RULER has one, there are two of the
 * kind in the text. What differs besides: RULER asks for ten common words and variables over four
 * hops, which small models never answer.
 */
public enum RecallTask {
  /** A number, and a name in a sentence of another kind (section 3.1, S-NIAH). */
  SINGLE_KEY("Number and name, each said once", "3.1, S-NIAH"),
  /** Four numbers for different words, of which one is asked for (section 3.1, MK-NIAH). */
  FOUR_KEYS("One of four numbers", "3.1, MK-NIAH"),
  /** All three numbers for one of two words (section 3.1, MV-NIAH). */
  SEVERAL_VALUES("All three numbers of one of two words", "3.1, MV-NIAH"),
  /** All three variables of one of two chains of assignments (section 3.2, VT). */
  VARIABLES("All three variables of one of two chains of assignments", "3.2, VT"),
  /**
   * The three words that one of two lists has five to ten times as often as others (section 3.3,
   * CWE).
   */
  COMMON_WORDS("The three most common words of one of two lists", "3.3, CWE"),
  /** The three most frequent coded words, which follow Zipf's law (section 3.3, FWE). */
  FREQUENT_WORDS("The three most frequent coded words of one of two texts", "3.3, FWE"),
  /**
   * The last five words of a sentence of the user's text whose other words are given; all other
   * paragraphs distract (section 3.4, QA, with a question that needs no annotation).
   */
  SENTENCE("The end of a sentence of the text", "3.4, QA");

  private final String description;
  private final String section;

  RecallTask(String description, String section) {
    this.description = description;
    this.section = section;
  }

  /** The name by which a user asks for it, such as {@code four-keys}. */
  public String title() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** What is asked for. */
  public String description() {
    return description;
  }

  /** The section of RULER and the name of its task. */
  public String section() {
    return section;
  }

  /**
   * The task of that name.
   *
   * @throws IllegalArgumentException if there is none
   */
  public static RecallTask of(String title) {
    return Arrays.stream(values())
        .filter(task -> task.title().equals(title))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "'%s' is no recall task; there are %s"
                        .formatted(
                            title,
                            String.join(
                                ", ", Arrays.stream(values()).map(RecallTask::title).toList()))));
  }
}
