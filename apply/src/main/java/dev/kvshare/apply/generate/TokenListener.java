package dev.kvshare.apply.generate;

import dev.kvshare.apply.generate.GenerationResult.FinishReason;

/** Hears of each token as it is generated, on the thread that generates. */
@FunctionalInterface
public interface TokenListener {
  /** Hears nothing and never stops. */
  TokenListener NONE = (row, tokenId, text) -> true;

  /**
   * A token was chosen.
   *
   * @param row index of the prompt in the request
   * @param tokenId the new token
   * @param text the text that became complete with it: empty while a character is incomplete or
   *     while the text could be the beginning of a stop string
   * @return whether to go on; false ends all rows
   */
  boolean onToken(int row, int tokenId, String text);

  /**
   * A decoding step is done.
   *
   * @param newTokens tokens generated for the first row so far
   * @param kvBytes bytes of KV cache allocated now, for all rows
   */
  default void onStep(int newTokens, long kvBytes) {}

  /**
   * A row ended.
   *
   * @param text the rest of its text that had been held back
   */
  default void onFinish(int row, String text, FinishReason reason) {}
}
