package dev.kvshare.datasets;

import java.util.Arrays;

/** A tokenizer for tests: one id a word, its length. */
final class WordEncoder implements TextEncoder {
  int calls;

  @Override
  public int[] encode(String text) {
    calls++;
    return Arrays.stream(text.strip().split("\\s+"))
        .filter(word -> !word.isEmpty())
        .mapToInt(String::length)
        .toArray();
  }
}
