package dev.kvshare.eval.check;

/**
 * What the name of a tensor recorded from the LCKV code, CONFIG/VARIANT/MODE, says about how it was
 * computed.
 *
 * @param flashAttention whether the variant is flash attention, whose windows see one token more
 * @param incremental whether half of the tokens were run at once and the rest one by one
 */
public record RecordedTensor(boolean flashAttention, boolean incremental) {
  private static final RecordedTensor PLAIN = new RecordedTensor(false, false);

  /**
   * Reads a name.
   *
   * @param ofScheme whether a scheme is checked; other names mean nothing
   */
  public static RecordedTensor of(String name, boolean ofScheme) {
    String[] words = name.split("/", -1);
    return ofScheme && words.length == 3
        ? new RecordedTensor(words[1].startsWith("flash"), words[2].startsWith("incremental"))
        : PLAIN;
  }

  /** Tokens run at once at the start; 0 for all. */
  public int prefillTokens(int tokens) {
    return incremental ? tokens / 2 : 0;
  }
}
