package dev.kvshare.apply.policy;

import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/**
 * Reads and writes policy files: UTF-8 JSON as described by the published schema {@code
 * dev/kvshare/apply/policy/policy-1.schema.json}.
 *
 * <p>Equal policies give equal bytes: keys are sorted, numbers have nine significant digits, there
 * is no time stamp, and the file ends with one line feed. Fields that the schema does not name
 * survive reading and writing.
 */
public final class PolicyFile {
  /** The value of the {@code schema} field that this release writes. */
  public static final String SCHEMA = "kvshare.policy/1";

  static final int MAJOR_VERSION = 1;
  private static final long MAX_BYTES = 16L << 20;

  private PolicyFile() {}

  /**
   * Reads and checks a policy file.
   *
   * @throws PolicyException if there is no such file
   * @throws PolicyFormatException if it is not JSON, breaks the schema or one of the rules between
   *     its fields; the message lists all problems of the step that failed
   * @throws PolicyVersionException if its major version is not the one of {@link #SCHEMA}
   */
  public static Policy read(Path file) {
    try {
      if (Files.isDirectory(file)) {
        throw new PolicyException(
            "The policy %s is a directory. Give the policy file itself, usually policy.json in it."
                .formatted(file));
      }
      long size = Files.size(file);
      if (size == 0 || size > MAX_BYTES) {
        throw new PolicyFormatException(
            "The policy %s has %d bytes; a policy has at least one and at most %d. Write it again with `kvshare calibrate`."
                .formatted(file, size, MAX_BYTES));
      }
      return fromBytes(Files.readAllBytes(file), "The policy " + file);
    } catch (NoSuchFileException e) {
      throw new PolicyException(
          "There is no policy file %s. Check the name, or write one with `kvshare calibrate`."
              .formatted(file),
          e);
    } catch (IOException e) {
      throw new PolicyException(
          "The policy %s cannot be read (%s: %s). Check its permissions."
              .formatted(file, e.getClass().getSimpleName(), e.getMessage()),
          e);
    }
  }

  /**
   * Reads and checks a policy.
   *
   * @param origin names the policy at the start of messages
   */
  public static Policy fromBytes(byte[] bytes, String origin) {
    return new PolicyReader(origin).read(bytes);
  }

  /**
   * Writes {@code policy} to {@code file}, whole or not at all.
   *
   * @throws OutputException if the file cannot be written
   */
  public static void write(Policy policy, Path file) {
    byte[] bytes = toBytes(policy);
    AtomicFile.write(file, out -> out.write(bytes));
  }

  /** Returns the bytes of the file for {@code policy}; equal policies give equal bytes. */
  public static byte[] toBytes(Policy policy) {
    return CompactJson.print(PolicyWriter.tree(policy)).getBytes(StandardCharsets.UTF_8);
  }
}
