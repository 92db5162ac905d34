package dev.kvshare.apply.model.storage;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;

/** Digests of files, bytes and lines of text, as lower-case hexadecimal digits. */
public final class Digest {
  private Digest() {}

  /** A digest to be fed; SHA-256 and SHA-1 are everywhere. */
  public static MessageDigest start(String algorithm) {
    try {
      return MessageDigest.getInstance(algorithm);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("Java without " + algorithm, e);
    }
  }

  /** The digits of a digest that was fed; it begins anew. */
  public static String end(MessageDigest digest) {
    return HexFormat.of().formatHex(digest.digest());
  }

  public static String sha256(byte[] bytes) {
    return sha256(out -> out.write(bytes));
  }

  /** SHA-256 over lines in UTF-8, each ended by a line feed. */
  public static String sha256(List<String> lines) {
    MessageDigest digest = start("SHA-256");
    lines.forEach(line -> digest.update((line + "\n").getBytes(StandardCharsets.UTF_8)));
    return end(digest);
  }

  public static String sha256(Path file) {
    return sha256(out -> Files.copy(file, out));
  }

  /** The digits of a digest that is fed a file last. */
  public static String end(MessageDigest digest, Path file) throws IOException {
    try (InputStream in = new DigestInputStream(Files.newInputStream(file), digest)) {
      in.transferTo(OutputStream.nullOutputStream());
    }
    return end(digest);
  }

  /** SHA-256 over what would be written. */
  public static String sha256(AtomicFile.Content content) {
    MessageDigest digest = start("SHA-256");
    try (OutputStream out = new DigestOutputStream(OutputStream.nullOutputStream(), digest)) {
      content.writeTo(out);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return end(digest);
  }
}
