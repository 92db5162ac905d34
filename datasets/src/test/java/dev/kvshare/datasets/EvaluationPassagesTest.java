package dev.kvshare.datasets;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class EvaluationPassagesTest {
  private static Corpus text(String text) {
    return new Corpus.Text("t", "00", text, PlainText.paragraphs(text));
  }

  @Test
  void cutsConsecutiveWindowsFromTheStart() {
    Passages passages =
        new EvaluationPassages(3, 2).cut(text("a bb ccc\ndddd a bb ccc"), new WordEncoder());

    assertEquals(2, passages.passages().size());
    assertArrayEquals(new int[] {1, 2, 3}, passages.passages().get(0));
    assertArrayEquals(new int[] {4, 1, 2}, passages.passages().get(1));
    assertEquals(List.of(), passages.notes());
  }

  @Test
  void runsThroughSequencesOfTokenIds() {
    Corpus corpus = new Corpus.Tokens("t", "00", List.of(new int[] {1, 2, 3}, new int[] {4, 5}));
    Passages passages = new EvaluationPassages(2, 9).cut(corpus, null);

    assertArrayEquals(new int[] {3, 4}, passages.passages().get(1));
    assertEquals(List.of("t has 5 tokens: 2 passages of 2 instead of 9."), passages.notes());
  }

  /** Every token of the text but the first is scored once, whatever the overlap. */
  @Test
  void passagesOverlapBehindATokenOfTheModel() {
    Corpus corpus = new Corpus.Tokens("t", "00", List.of(new int[] {1, 2, 3, 4, 5, 6, 7}));
    EvaluationPassages plain = new EvaluationPassages(3, 9, 2, null);
    EvaluationPassages behind = new EvaluationPassages(4, 2, 1, 0);

    assertEquals(
        List.of("[1, 2, 3]", "[3, 4, 5]", "[5, 6, 7]"),
        plain.cut(corpus, null).passages().stream().map(Arrays::toString).toList());
    assertEquals(1, plain.unscored(0));
    assertEquals(1, plain.unscored(1));
    assertEquals(
        List.of("[0, 1, 2, 3]", "[0, 2, 3, 4]"),
        behind.cut(corpus, null).passages().stream().map(Arrays::toString).toList());
    assertEquals(1, behind.unscored(0));
    assertEquals(3, behind.unscored(1));
    assertEquals(1, new EvaluationPassages(4, 2, 3, 0).unscored(1));
    assertThrows(IllegalArgumentException.class, () -> new EvaluationPassages(4, 2, 4, 0));
  }

  @Test
  void saysWhatAWindowNeeds() {
    DatasetException error =
        assertThrows(
            DatasetException.class,
            () -> new EvaluationPassages(4, 1).cut(text("a b c"), new WordEncoder()));

    assertTrue(
        error.getMessage().contains("has 3 tokens; one passage needs 4"), error.getMessage());
  }

  @Test
  void readsOnlyTheStartOfALongText() {
    String line = "a bb ccc dddd eeeee ffffff\n";
    Corpus corpus = text(line.repeat(200_000));
    WordEncoder whole = new WordEncoder();
    int[] all = whole.apply(((Corpus.Text) corpus).text());
    int[] encoded = new int[1];
    Passages passages =
        new EvaluationPassages(5, 3)
            .cut(
                corpus,
                text -> {
                  encoded[0] = text.length();
                  return new WordEncoder().apply(text);
                });

    assertTrue(encoded[0] < ((Corpus.Text) corpus).text().length());
    for (int i = 0; i < 15; i++) {
      assertEquals(all[i], passages.passages().get(i / 5)[i % 5]);
    }
  }

  @Test
  void readsOnWhereAPrefixGivesTooFewTokens() {
    String text = "x".repeat(3_000_000) + "\n" + "a bb ".repeat(100_000);
    Passages passages = new EvaluationPassages(100_000, 2).cut(text(text), new WordEncoder());

    assertEquals(2, passages.passages().size());
    assertEquals(3_000_000, passages.passages().get(0)[0]);
  }

  @Test
  void refusesWindowsWithoutAScoredToken() {
    assertThrows(IllegalArgumentException.class, () -> new EvaluationPassages(1, 1));
    assertThrows(IllegalArgumentException.class, () -> new EvaluationPassages(2, 0));
  }
}
