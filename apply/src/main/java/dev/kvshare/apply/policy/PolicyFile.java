package dev.kvshare.apply.policy;

import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import dev.kvshare.apply.model.storage.Digest;
import dev.kvshare.apply.plan.Plan;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;

/**
 * Reads and writes policy files: UTF-8 JSON as described by the published schema {@code
 * dev/kvshare/apply/policy/policy-2.schema.json}, and beside it the refitted weights. Files of
 * version 1 are read as well.
 *
 * <p>Equal policies give equal bytes: keys are sorted, numbers have nine significant digits, there
 * is no time stamp, and the file ends with one line feed. Fields that the schema does not name
 * survive reading and writing.
 */
public final class PolicyFile {
  /** The value of the {@code schema} field that this release writes. */
  public static final String SCHEMA = "kvshare.policy/2";

  static final int MAJOR_VERSION = 2;
  private static final long MAX_BYTES = 16L << 20;
  private static final int[] BYTE_ORDER_MARK = {0xEF, 0xBB, 0xBF};

  private PolicyFile() {}

  /**
   * Reads and checks a policy file.
   *
   * @throws PolicyException if there is no such file
   * @throws PolicyException.Format if it is not JSON, breaks the schema or one of the rules between
   *     its fields; the message lists all problems of the step that failed
   * @throws PolicyException.Version if its major version is none that this release reads
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
        throw new PolicyException.Format(
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
   * Reads a policy file and checks that it belongs to a model.
   *
   * @param force whether a policy of another model of as many layers will do
   * @throws PolicyException as {@link #read(Path)} does; {@link PolicyException.Mismatch} if the
   *     policy was made for another model, or has layers share that calibration does not let share
   */
  public static Policy read(Path file, ModelIdentity model, ModelSpec spec, boolean force) {
    Policy policy = read(file);
    try {
      if (!force || policy.map().layers() != model.layers()) {
        policy.check(model);
      }
      if (!force) {
        policy.checkKinds(spec);
      }
    } catch (PolicyException.Mismatch e) {
      throw new PolicyException.Mismatch(file + ": " + e.getMessage());
    }
    return policy;
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
   * Whether a file looks like a policy rather than a model: it begins with a JSON object, behind
   * blanks and a byte-order mark. Whether it is a usable one, {@link #read} tells.
   */
  public static boolean isPolicy(Path file) {
    if (!Files.isRegularFile(file)) {
      return false;
    }
    try (InputStream in = Files.newInputStream(file)) {
      int next = in.read();
      for (int i = 0; i < BYTE_ORDER_MARK.length && next == BYTE_ORDER_MARK[i]; i++) {
        next = in.read();
      }
      while (Character.isWhitespace(next)) {
        next = in.read();
      }
      return next == '{';
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Whether there is a file, and it is a policy of this or another version. */
  public static boolean isWritten(Path file) {
    try {
      return Files.isRegularFile(file) && read(file) != null;
    } catch (PolicyException.Version e) {
      return true;
    } catch (PolicyException e) {
      return false;
    }
  }

  /** Where the refitted weights of a policy go: beside it, with its name. */
  public static Path weightsFile(Path policy) {
    return policy.resolveSibling(stem(policy) + ".safetensors");
  }

  /** The name of a policy file without its ending, with which the files beside it begin. */
  public static String stem(Path policy) {
    return policy.getFileName().toString().replaceFirst("\\.json$", "");
  }

  /**
   * Writes a policy and its refitted weights. A crash at any point leaves a policy that can be used
   * with its weights, the old one or the new one:
   *
   * <ol>
   *   <li>The weights are written as {@code NAME.safetensors.new}.
   *   <li>The policy is written in place of the old one. From here on the new one counts.
   *   <li>{@code .new} is renamed. Until then {@link #weights} finds it by its digest.
   * </ol>
   *
   * @param weightsOrNull null leaves what the policy says of its weights as it is
   * @return the policy as it was written, with the reference to its weights
   * @throws OutputException if a file cannot be written
   */
  public static Policy write(Policy policy, RefittedWeights weightsOrNull, Path file) {
    if (weightsOrNull == null) {
      byte[] bytes = toBytes(policy);
      AtomicFile.write(file, out -> out.write(bytes));
      return policy;
    }
    Path weights = weightsFile(file);
    Path fresh = fresh(weights);
    finish(file);
    try {
      AtomicFile.write(fresh, weightsOrNull::writeTo);
    } catch (OutputException e) {
      String left = Files.exists(file) ? "The policy %s is as it was." : "No policy %s is written.";
      throw new OutputException(left.formatted(file) + " " + e.getMessage(), e);
    }
    Policy written =
        policy.withRepair(weightsOrNull.reference(weights.getFileName().toString(), policy.plan()));
    try {
      write(written, null, file);
    } catch (OutputException e) {
      AtomicFile.deleteQuietly(fresh);
      throw e;
    }
    AtomicFile.move(fresh, weights);
    return written;
  }

  /** Ends a write that was interrupted when the old policy already counted on its new weights. */
  private static void finish(Path file) {
    Path fresh = fresh(weightsFile(file));
    if (!Files.exists(fresh) || !Files.exists(file)) {
      return;
    }
    try {
      Policy.RepairReference old = read(file).repair();
      if (old != null && Digest.sha256(fresh).equals(old.sha256())) {
        AtomicFile.move(fresh, weightsFile(file));
      }
    } catch (PolicyException e) {
      // What is there is no policy of this release: its weights are none of ours.
    }
  }

  /**
   * The file of a policy's refitted weights.
   *
   * @param file where the policy was read from
   * @return null where the policy has none, or their file is not there
   * @throws PolicyException.Mismatch if the plan was edited since they were fitted, or the file is
   *     another one
   */
  public static Path weights(Policy policy, Path file) {
    Policy.RepairReference reference = policy.repair();
    if (reference == null || reference.tensors().isEmpty()) {
      return null;
    }
    String plan = planSha256(policy.plan());
    if (reference.planSha256() != null && !reference.planSha256().equals(plan)) {
      throw new PolicyException.Mismatch(
          "The plan of %s is not the one that its refitted weights were fitted for: its SHA-256 is %s, but 'repair.plan_sha256' is %s. Undo the change of 'plan', calibrate again, or run without the refitted weights by --no-repair."
              .formatted(file, plan, reference.planSha256()));
    }
    Path weights = file.resolveSibling(reference.file());
    for (Path candidate : List.of(weights, fresh(weights))) {
      if (Files.exists(candidate) && Digest.sha256(candidate).equals(reference.sha256())) {
        return candidate;
      }
    }
    if (!Files.exists(weights)) {
      return null;
    }
    throw new PolicyException.Mismatch(
        "%s is not the file that the policy was written with: its SHA-256 is %s, but the policy says %s. Put the right file there, or run without the refitted weights by --no-repair."
            .formatted(weights, Digest.sha256(weights), reference.sha256()));
  }

  /** SHA-256 of a plan, as {@code repair.plan_sha256} has it: over its JSON, see the schema. */
  public static String planSha256(Plan plan) {
    return PolicyJson.sha256(plan);
  }

  /** Returns the bytes of the file for {@code policy}; equal policies give equal bytes. */
  public static byte[] toBytes(Policy policy) {
    return CanonicalJson.print(PolicyJson.tree(policy)).getBytes(StandardCharsets.UTF_8);
  }

  private static Path fresh(Path weights) {
    return weights.resolveSibling(weights.getFileName() + ".new");
  }
}
