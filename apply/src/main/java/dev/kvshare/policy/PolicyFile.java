package dev.kvshare.policy;

import java.nio.file.Path;

/** Reads and writes policy files. */
public final class PolicyFile {
  private PolicyFile() {}

  /** Reads and checks a policy file. */
  public static Policy read(Path file) {
    if (file != null) {
      throw new UnsupportedOperationException(file.toString());
    }
    return null;
  }

  /** Writes {@code policy} to {@code file}, whole or not at all. */
  public static void write(Policy policy, Path file) {
    byte[] bytes = toBytes(policy);
    AtomicFile.write(file, out -> out.write(bytes));
  }

  /** Returns the bytes of the file for {@code policy}; equal policies give equal bytes. */
  public static byte[] toBytes(Policy policy) {
    if (policy != null) {
      throw new UnsupportedOperationException(policy.toString());
    }
    return null;
  }
}
