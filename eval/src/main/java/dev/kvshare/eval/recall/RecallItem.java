package dev.kvshare.eval.recall;

import java.util.List;
import java.util.regex.Pattern;

/**
 * A context and the questions behind it.
 *
 * @param context token ids, read before any question is known
 * @param questions each is asked of the context alone, not behind the other
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared; as the decoder takes them.
public record RecallItem(int[] context, List<Question> questions) {

  /**
   * A question, which ends where the answer begins.
   *
   * @param ids token ids
   * @param wanted what the answer must hold
   * @param depth where in the context the (first) place is that tells it, from 0 to 1
   * @param newTokens most tokens of an answer
   */
  @SuppressWarnings("ArrayRecordComponent")
  public record Question(int[] ids, List<String> wanted, double depth, int newTokens) {
    public Question {
      wanted = List.copyOf(wanted);
    }

    /** Whether an answer is over at its first line end: one thing is asked for. */
    boolean isOneLine() {
      return wanted.size() == 1;
    }

    /**
     * How much of what is wanted stands in an answer, in any order, as whole words, whatever the
     * case: RULER's score is this by {@code wanted.size()}. An answer is exact if it has all.
     */
    public int found(String answer) {
      String words = answer.replaceAll("\\s+", " ");
      return (int)
          wanted.stream()
              .filter(
                  each ->
                      Pattern.compile(
                              "(?<![\\p{L}\\p{N}])" + Pattern.quote(each) + "(?![\\p{L}\\p{N}])",
                              Pattern.CASE_INSENSITIVE | Pattern.UNICODE_CASE)
                          .matcher(words)
                          .find())
              .count();
    }

    /** Whether an answer has all that is wanted. */
    public boolean exact(String answer) {
      return found(answer) == wanted.size();
    }
  }
}
