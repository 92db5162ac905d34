package dev.kvshare.cli.command;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Reads prompts, one a line; empty lines are passed over. */
final class PromptFile {
  private PromptFile() {}

  /**
   * Reads the prompts of a file.
   *
   * @param name a path, or {@code -} for standard input
   */
  static List<String> read(String name) {
    boolean standardInput = name.equals("-");
    try (InputStream in = standardInput ? System.in : Files.newInputStream(Path.of(name));
        BufferedReader reader =
            new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8.newDecoder()))) {
      List<String> prompts = reader.lines().filter(line -> !line.isBlank()).toList();
      if (prompts.isEmpty()) {
        throw new PromptException(
            shown(name) + " holds no prompt: every line is empty. Write one prompt a line.");
      }
      return prompts;
    } catch (UncheckedIOException e) {
      if (e.getCause() instanceof CharacterCodingException) {
        throw new PromptException(
            shown(name) + " is not UTF-8 text. Save it as UTF-8, one prompt a line.");
      }
      throw e;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String shown(String name) {
    return name.equals("-") ? "standard input" : name;
  }
}
