package dev.kvshare.datasets;

import java.util.Arrays;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/**
 * How much of an evaluation text was seen in calibration: the share of its runs of {@value #RUN}
 * words (lower case, punctuation ignored) or token ids that occur in the calibration text as well.
 * Thirteen is the usual length in contamination checks since the GPT-3 report (arXiv 2005.14165,
 * appendix C). Texts shorter than a run are compared as one run.
 */
public final class TextOverlap {
  private static final int RUN = 13;
  private static final Pattern WORD = Pattern.compile("[\\p{L}\\p{N}]+");

  private TextOverlap() {}

  /**
   * Returns a fraction from 0 to 1; 1 for the same bytes, 0 where text meets token ids, which
   * cannot be compared.
   */
  public static double fraction(Corpus calibration, Corpus evaluation) {
    if (calibration.sha256().equals(evaluation.sha256())) {
      return 1;
    }
    if (calibration instanceof Corpus.Text != evaluation instanceof Corpus.Text) {
      return 0;
    }
    int[] words = units(evaluation);
    int[] seenWords = units(calibration);
    int run = Math.min(RUN, Math.min(words.length, seenWords.length));
    if (run == 0) {
      return 0;
    }
    Set<Long> seen = new HashSet<>();
    for (int start = 0; start + run <= seenWords.length; start++) {
      seen.add(hash(seenWords, start, run));
    }
    int shared = 0;
    int runs = words.length - run + 1;
    for (int start = 0; start < runs; start++) {
      shared += seen.contains(hash(words, start, run)) ? 1 : 0;
    }
    return (double) shared / runs;
  }

  private static int[] units(Corpus corpus) {
    if (corpus instanceof Corpus.Tokens tokens) {
      return tokens.sequences().stream().flatMapToInt(Arrays::stream).toArray();
    }
    String text = ((Corpus.Text) corpus).text();
    return WORD.matcher(text)
        .results()
        .map(MatchResult::group)
        .mapToInt(word -> word.toLowerCase(Locale.ROOT).hashCode())
        .toArray();
  }

  /** A 64-bit polynomial hash; 32 bits would collide by chance between long texts. */
  private static long hash(int[] units, int start, int length) {
    long hash = 1;
    for (int i = start; i < start + length; i++) {
      hash = hash * 0x9E3779B97F4A7C15L + units[i];
    }
    return hash;
  }
}
