package dev.kvshare.apply.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class StopMatcherTest {

  @Test
  void holdsBackWhatCouldBeginAStopString() {
    Generation.StopMatcher matcher = new Generation.StopMatcher(List.of("###", "\n\nUser"));
    assertEquals("Hello", matcher.accept("Hello#"));
    assertEquals("#x", matcher.accept("x"));
    assertEquals("a", matcher.accept("a\n"));
    assertEquals("", matcher.accept("\nUs"));
    assertEquals("\n\nUsb", matcher.accept("b"));
    assertEquals("c", matcher.accept("c\n\nUs"));
    assertFalse(matcher.stopped());
    assertEquals("", matcher.accept("er: more"));
    assertTrue(matcher.stopped());
    assertEquals("", matcher.rest());
  }

  @Test
  void givesTheRestAtTheEnd() {
    Generation.StopMatcher matcher = new Generation.StopMatcher(List.of("END"));
    assertEquals("text ", matcher.accept("text EN"));
    assertEquals("EN", matcher.rest());
    assertFalse(matcher.stopped());
  }

  @Test
  void stopsAtTheFirstOfSeveral() {
    Generation.StopMatcher matcher = new Generation.StopMatcher(List.of("world", "lo w"));
    assertEquals("hel", matcher.accept("hello world"));
    assertTrue(matcher.stopped());
  }

  /** Whatever the pieces: the text before the first stop string comes out, and nothing else. */
  @Test
  void givesTheSameForAnyPieces() {
    SplittableRandom random = new SplittableRandom(5);
    List<String> stops = List.of("abab", "bb", "aaab");
    for (int round = 0; round < 2000; round++) {
      String text =
          random.ints(12, 'a', 'd').mapToObj(c -> "" + (char) c).reduce("", String::concat);
      int first = stops.stream().mapToInt(text::indexOf).filter(i -> i >= 0).min().orElse(-1);
      Generation.StopMatcher matcher = new Generation.StopMatcher(stops);
      StringBuilder out = new StringBuilder();
      for (int i = 0; i < text.length() && !matcher.stopped(); i++) {
        out.append(matcher.accept(text.substring(i, i + 1)));
      }
      out.append(matcher.rest());
      String expected = first < 0 ? text : firstStopByEnd(text, stops);
      assertEquals(expected, out.toString(), text);
    }
  }

  /** Single characters reveal the stop string that ends first. */
  private static String firstStopByEnd(String text, List<String> stops) {
    int end = text.length() + 1;
    int start = -1;
    for (String stop : stops) {
      int index = text.indexOf(stop);
      if (index >= 0
          && (index + stop.length() < end || (index + stop.length() == end && index < start))) {
        end = index + stop.length();
        start = index;
      }
    }
    return text.substring(0, start);
  }
}
