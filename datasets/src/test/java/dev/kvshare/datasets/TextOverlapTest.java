package dev.kvshare.datasets;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class TextOverlapTest {
  private static Corpus text(String sha256, int from, int to) {
    String words =
        IntStream.range(from, to).mapToObj(i -> "w" + i).collect(Collectors.joining(" "));
    return new Corpus.Text("t", sha256, words, List.of(words));
  }

  private static Corpus tokens(int from, int to) {
    return new Corpus.Tokens("t", "t" + from, List.of(IntStream.range(from, to).toArray()));
  }

  @Test
  void countsSharedRuns() {
    assertEquals(0, TextOverlap.fraction(text("a", 0, 100), text("b", 100, 200)));
    assertEquals(1, TextOverlap.fraction(text("a", 0, 100), text("b", 20, 60)));
    // 112 words have 100 runs of 13; the first 38 of them lie in the 50 words shared.
    assertEquals(0.38, TextOverlap.fraction(text("a", 0, 150), text("b", 100, 212)));
  }

  @Test
  void ignoresCaseAndPunctuation() {
    Corpus one = new Corpus.Text("t", "a", "It was, then, a dark\nnight.", List.of());
    Corpus two = new Corpus.Text("t", "b", "IT WAS THEN A DARK NIGHT", List.of());

    assertEquals(1, TextOverlap.fraction(one, two));
  }

  @Test
  void sameBytesOverlapWhole() {
    assertEquals(1, TextOverlap.fraction(text("a", 0, 3), tokensWithHash("a")));
  }

  private static Corpus tokensWithHash(String sha256) {
    return new Corpus.Tokens("t", sha256, List.of(new int[] {1}));
  }

  @Test
  void comparesTokenIdsWithTokenIdsOnly() {
    assertEquals(1, TextOverlap.fraction(tokens(0, 50), tokens(10, 30)));
    assertEquals(0, TextOverlap.fraction(tokens(0, 50), text("b", 0, 50)));
  }
}
