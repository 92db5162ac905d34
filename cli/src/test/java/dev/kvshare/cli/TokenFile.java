package dev.kvshare.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.StringJoiner;

/** Token ids for {@link CommandRun#TINY_MODEL}, whose vocabulary has 256. */
final class TokenFile {
  private static final int VOCABULARY = 256;

  private TokenFile() {}

  /** Writes lines of random ids in the field {@code input_ids}. */
  static Path write(Path file, int lines, int tokens, long seed) throws IOException {
    Random random = new Random(seed);
    StringBuilder text = new StringBuilder();
    for (int line = 0; line < lines; line++) {
      StringJoiner numbers = new StringJoiner(",", "{\"input_ids\":[", "]}\n");
      random.ints(tokens, 0, VOCABULARY).mapToObj(String::valueOf).forEach(numbers::add);
      text.append(numbers);
    }
    return Files.writeString(file, text);
  }
}
