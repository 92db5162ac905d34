package dev.kvshare.apply.cache;

/** When tokens leave the cache. */
public enum EvictionTime {
  /** Never. */
  NEVER,
  /** Once, when the prompt has been read; what is generated is kept. */
  AFTER_PROMPT,
  /** When the prompt has been read, and at each later token. */
  WHILE_DECODING,
  /** Between the chunks of a prompt as well: no prompt is too long. */
  ALWAYS
}
