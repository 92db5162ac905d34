package dev.kvshare.apply.decoder;

/** The wanted device is not available. The message is one paragraph for the user. */
public final class DeviceException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Creates the exception with its whole message. */
  public DeviceException(String message) {
    super(message);
  }
}
