package dev.kvshare.datasets;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class CalibrationSamplerTest {
  private static final List<String> PARAGRAPHS =
      List.of("a bb ccc dddd", "a", "bb ccc dddd", "ccc dddd a", "dddd a bb ccc");

  private static Corpus text(List<String> paragraphs) {
    return new Corpus.Text("t", "00", String.join("\n", paragraphs), paragraphs);
  }

  @Test
  void takesTheFirstParagraphsThatAreLongEnough() {
    WordEncoder encoder = new WordEncoder();
    Passages samples = new CalibrationSampler(3, 3).sample(text(PARAGRAPHS), encoder);

    assertEquals(3, samples.passages().size());
    assertArrayEquals(new int[] {1, 2, 3}, samples.passages().get(0));
    assertArrayEquals(new int[] {2, 3, 4}, samples.passages().get(1));
    assertArrayEquals(new int[] {3, 4, 1}, samples.passages().get(2));
    assertEquals(new Passages.Counts("paragraphs", 4, 3, 1), samples.counts());
    assertEquals(List.of(), samples.notes());
    assertEquals("t: 3 paragraphs used of 4 read (1 too short), 9 tokens", samples.summary());
    assertEquals(4, encoder.calls, "paragraphs behind the last sample need not be tokenised");
  }

  @Test
  void cutsTheRunningTextIfTooFewParagraphsAreLongEnough() {
    Passages samples = new CalibrationSampler(3, 4).sample(text(PARAGRAPHS), new WordEncoder());

    assertArrayEquals(new int[] {1, 2, 3, 4}, samples.passages().get(0));
    assertArrayEquals(new int[] {1, 2, 3, 4}, samples.passages().get(1));
    assertArrayEquals(new int[] {3, 4, 1, 4}, samples.passages().get(2));
    assertEquals(new Passages.Counts("passages", 3, 3, 0), samples.counts());
    assertEquals(
        List.of(
            "Only 2 of the 5 paragraphs of t have 4 tokens or more, fewer than the 3 samples asked for: the running text was cut into passages instead."),
        samples.notes());
  }

  @Test
  void saysWhenThereIsLessThanAskedFor() {
    Passages samples = new CalibrationSampler(9, 7).sample(text(PARAGRAPHS), new WordEncoder());

    assertEquals(2, samples.passages().size());
    assertEquals("t gives 2 samples of 7 tokens; 9 were asked for.", samples.notes().get(1));
  }

  @Test
  void saysWhatASampleNeeds() {
    DatasetException error =
        assertThrows(
            DatasetException.class,
            () -> new CalibrationSampler(2, 16).sample(text(PARAGRAPHS), new WordEncoder()));

    assertTrue(
        error.getMessage().contains("has 15 tokens in 5 paragraphs; one sample needs 16"),
        error.getMessage());
  }

  @Test
  void takesTokenIdsAsTheyAre() {
    Corpus corpus =
        new Corpus.Tokens("t", "00", List.of(new int[] {5, 6, 7, 8}, new int[] {9}, new int[] {1}));
    Passages samples = new CalibrationSampler(2, 3).sample(corpus, null);

    assertArrayEquals(new int[] {5, 6, 7}, samples.passages().get(0));
    assertArrayEquals(new int[] {9}, samples.passages().get(1));
    assertEquals(9, samples.highestId());
    assertEquals(4, samples.tokens());
    assertEquals(List.of(), samples.notes());
    assertEquals(
        List.of("t gives 3 samples of 3 tokens; 5 were asked for."),
        new CalibrationSampler(5, 3).sample(corpus, null).notes());
  }

  @Test
  void refusesCountsBelowOne() {
    assertThrows(IllegalArgumentException.class, () -> new CalibrationSampler(0, 1));
    assertThrows(IllegalArgumentException.class, () -> new CalibrationSampler(1, 0));
  }
}
