package dev.kvshare.datasets;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** Where bytes come from, under the name that messages and provenance use. */
public record ByteSource(String name, Opener opener) {
  /** Largest text that is read; more than any calibration or evaluation looks at. */
  static final long MAX_BYTES = 256L << 20;

  @FunctionalInterface
  interface Opener {
    InputStream open() throws IOException;
  }

  /** Returns the bytes of {@code file}, named by its file name. */
  public static ByteSource ofFile(Path file) {
    return ofFile(file, String.valueOf(file.getFileName()));
  }

  /** Returns the bytes of {@code file} under another name. */
  static ByteSource ofFile(Path file, String name) {
    if (Files.isDirectory(file)) {
      throw new DatasetException(
          "The text %s is a directory. Give a file, or - for standard input.".formatted(file));
    }
    return new ByteSource(name, () -> Files.newInputStream(file));
  }

  /** Returns bytes that are at hand. */
  static ByteSource ofBytes(String name, byte[] bytes) {
    return new ByteSource(name, () -> new ByteArrayInputStream(bytes));
  }

  /** Returns the bytes of {@code stream}, which is read once and then closed. */
  public static ByteSource ofStream(String name, InputStream stream) {
    return new ByteSource(name, () -> stream);
  }

  /** Returns all bytes; there must be some, but not too many. */
  byte[] read() {
    byte[] bytes;
    try (InputStream in = opener.open()) {
      bytes = in.readNBytes(Math.toIntExact(MAX_BYTES + 1));
    } catch (NoSuchFileException e) {
      throw new DatasetException(
          "There is no text file %s. Check the name; `kvshare datasets list` shows the built-in ones."
              .formatted(e.getFile()),
          e);
    } catch (IOException e) {
      throw new DatasetException(
          "The text %s cannot be read (%s: %s)."
              .formatted(name, e.getClass().getSimpleName(), e.getMessage()),
          e);
    }
    if (bytes.length == 0) {
      throw new DatasetException(
          "The text %s is empty: 0 bytes. Give a text of at least a few hundred words."
              .formatted(name));
    }
    if (bytes.length > MAX_BYTES) {
      throw new DatasetException(
          "The text %s has more than %d MiB. Give an excerpt, as in `head -c 50M FILE`."
              .formatted(name, MAX_BYTES >> 20));
    }
    return bytes;
  }

  /** Returns the SHA-256 of {@code bytes} as 64 lower-case hexadecimal digits. */
  static String sha256(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java has SHA-256", e);
    }
  }
}
