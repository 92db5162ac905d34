package dev.kvshare.datasets;

import java.util.Arrays;
import java.util.function.Function;

/** A tokenizer for tests: one id a word, its length. */
final class WordEncoder implements Function<String, int[]> {
  int calls;

  @Override
  public int[] apply(String text) {
    calls++;
    return Arrays.stream(text.strip().split("\\s+"))
        .filter(word -> !word.isEmpty())
        .mapToInt(String::length)
        .toArray();
  }
}
