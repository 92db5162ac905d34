package dev.kvshare.eval.quality;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class PassageScoreTest {
  private static PassageScore score(double meanLoss) {
    return new PassageScore(10, 10 * meanLoss, 0, 0, 0);
  }

  @Test
  void passagesAreTheUnitsOfTheStandardError() {
    PassageScore.Estimate perplexity =
        PassageScore.perplexity(List.of(score(1), score(2), score(3)));

    assertEquals(Math.exp(2), perplexity.value(), 1e-12);
    assertEquals(Math.exp(2) * 1 / Math.sqrt(3), perplexity.standardError(), 1e-12);
  }

  /** Passages that overlap score fewer tokens than the first: each token counts alike. */
  @Test
  void tokensOfPassagesOfDifferentLengthCountAlike() {
    List<PassageScore> scores =
        List.of(new PassageScore(3, 6, 0, 0, 0), new PassageScore(1, 6, 0, 0, 0));

    assertEquals(Math.exp(3), PassageScore.perplexity(scores).value(), 1e-12);
    // Residuals 6 - 3 * 3 and 6 - 1 * 3, over a mean of 2 tokens.
    assertEquals(
        Math.exp(3) * Math.sqrt(18 / 1.0 / 2) / 2,
        PassageScore.perplexity(scores).standardError(),
        1e-12);
  }

  @Test
  void theRatioIsPaired() {
    List<PassageScore> unshared = List.of(score(1), score(5));
    List<PassageScore> shared = List.of(score(1.5), score(5.5));
    PassageScore.Estimate ratio = PassageScore.ratio(shared, unshared);

    assertEquals(Math.exp(0.5), ratio.value(), 1e-12);
    assertEquals(0, ratio.standardError(), 1e-12);
  }

  @Test
  void aSinglePassageFallsBackToItsTokens() {
    // Losses 1 and 3: mean 2, variance 1.
    List<PassageScore> scores = List.of(new PassageScore(2, 4, 10, 0, 0));
    PassageScore.Estimate perplexity = PassageScore.perplexity(scores);

    assertEquals(Math.exp(2) / Math.sqrt(2), perplexity.standardError(), 1e-12);
    assertTrue(Double.isNaN(PassageScore.ratio(scores, scores).standardError()));
  }

  @Test
  void addsUpChunksByPassage() {
    PassageScore[] scores = {PassageScore.NONE, PassageScore.NONE};
    PassageScore.add(
        scores,
        new float[] {1, 2, 3, 4},
        new float[4],
        new long[] {7, 7, 7, 7},
        new long[] {7, 8, 7, 7});
    PassageScore.add(
        scores,
        new float[] {5, 6},
        new float[] {0.5f, 0.25f},
        new long[] {1, 2},
        new long[] {1, 2});

    assertEquals(
        List.of(new PassageScore(3, 8, 30, 0.5, 2), new PassageScore(3, 13, 61, 0.25, 3)),
        List.of(scores));
  }
}
