package dev.kvshare.datasets;

/** A tokenizer as seen from here. */
@FunctionalInterface
public interface TextEncoder {
  /** Returns the token ids of {@code text}, without added special tokens. */
  int[] encode(String text);
}
