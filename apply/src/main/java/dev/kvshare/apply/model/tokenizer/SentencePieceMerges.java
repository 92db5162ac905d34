package dev.kvshare.apply.model.tokenizer;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/**
 * Merge rules of a SentencePiece vocabulary, which stores a score a piece instead. Any two pieces
 * whose joined text is a piece may merge; the joined piece with the best score goes first. These
 * rules give the pieces that SentencePiece gives; Hugging Face's converter derives the same ones.
 */
final class SentencePieceMerges {
  private SentencePieceMerges() {}

  /**
   * One rule.
   *
   * @param score of the joined piece; higher goes first
   */
  record Merge(String left, String right, double score) {}

  /**
   * Derives the rules.
   *
   * @param ids the pieces that may take part, with their ids
   * @param scores a score for each id
   * @return best first; among equal scores the longer left piece first, as the reference orders
   *     them
   */
  static List<Merge> derive(Map<String, Integer> ids, double[] scores) {
    List<Merge> merges = new ArrayList<>();
    for (Map.Entry<String, Integer> entry : ids.entrySet()) {
      String piece = entry.getKey();
      for (int i = piece.offsetByCodePoints(0, piece.isEmpty() ? 0 : 1); i < piece.length(); ) {
        String left = piece.substring(0, i);
        String right = piece.substring(i);
        if (ids.containsKey(left) && ids.containsKey(right)) {
          merges.add(new Merge(left, right, scores[entry.getValue()]));
        }
        i = piece.offsetByCodePoints(i, 1);
      }
    }
    merges.sort(
        Comparator.comparingDouble(Merge::score)
            .thenComparingInt(merge -> codePoints(merge.left()))
            .thenComparingInt(merge -> codePoints(merge.right()))
            .reversed());
    return merges;
  }

  private static int codePoints(String text) {
    return text.codePointCount(0, text.length());
  }
}
