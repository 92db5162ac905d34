package dev.kvshare.apply.policy;

/**
 * A plan or a policy that cannot be read, written or applied. The message is one paragraph for the
 * user; the subtypes say whose fault it is.
 */
@SuppressWarnings("serial")
public class PolicyException extends RuntimeException {
  public PolicyException(String message) {
    super(message);
  }

  public PolicyException(String message, Throwable cause) {
    super(message, cause);
  }

  /** The file: not JSON, against the schema, or with fields that break a rule. */
  public static final class Format extends PolicyException {
    public Format(String message) {
      super(message);
    }

    public Format(String message, Throwable cause) {
      super(message, cause);
    }
  }

  /** The file's version, which this release does not know. */
  public static final class Version extends PolicyException {
    public Version(String message) {
      super(message);
    }
  }

  /** The model, or the file of refitted weights: the policy was made for another one. */
  public static final class Mismatch extends PolicyException {
    public Mismatch(String message) {
      super(message);
    }
  }

  /** This release: the plan is valid, but cannot be run, or not with that cache policy. */
  public static final class Unsupported extends PolicyException {
    public Unsupported(String message) {
      super(message);
    }
  }
}
