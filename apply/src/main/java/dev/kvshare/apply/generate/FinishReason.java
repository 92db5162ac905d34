package dev.kvshare.apply.generate;

/** Why a row of a generation ended. */
public enum FinishReason {
  /** The model chose an end token. */
  END_TOKEN,
  /** A stop string appeared in the text. */
  STOP_STRING,
  /** The wanted number of new tokens was reached. */
  MAX_NEW_TOKENS,
  /** The model's last position was reached. */
  MAX_POSITIONS,
  /** The listener asked to stop, or the thread was interrupted. */
  STOPPED
}
