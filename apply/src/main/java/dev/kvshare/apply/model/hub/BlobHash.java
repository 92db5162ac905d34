package dev.kvshare.apply.model.hub;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * The hashes by which the hub names files: SHA-256 of the content for large files (Git LFS), and
 * for the others that of a Git blob, SHA-1 of {@code "blob " + size + NUL + content}.
 */
final class BlobHash {
  private static final int BUFFER_BYTES = 1 << 20;
  private static final int SHA1_DIGITS = 40;
  private static final int SHA256_DIGITS = 64;

  private BlobHash() {}

  /** The content's hash of the kind that the etag is; the etag itself if it is of no known kind. */
  static String of(Path file, String etag) throws IOException {
    if (!etag.matches("[0-9a-f]+")) {
      return etag;
    }
    return switch (etag.length()) {
      case SHA256_DIGITS -> hash(file, digest("SHA-256"));
      case SHA1_DIGITS -> {
        MessageDigest digest = digest("SHA-1");
        digest.update(("blob " + Files.size(file) + "\0").getBytes(StandardCharsets.US_ASCII));
        yield hash(file, digest);
      }
      default -> etag;
    };
  }

  private static String hash(Path file, MessageDigest digest) throws IOException {
    byte[] buffer = new byte[BUFFER_BYTES];
    try (InputStream in = Files.newInputStream(file)) {
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        digest.update(buffer, 0, count);
      }
    }
    return HexFormat.of().formatHex(digest.digest());
  }

  private static MessageDigest digest(String algorithm) {
    try {
      return MessageDigest.getInstance(algorithm);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has " + algorithm, e);
    }
  }
}
