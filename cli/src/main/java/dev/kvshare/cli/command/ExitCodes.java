package dev.kvshare.cli.command;

/** The exit codes of every command. */
public final class ExitCodes {
  public static final int DONE = 0;

  /** Something outside the command line was wrong: a file, a model, a policy, the machine. */
  public static final int FAILED = 1;

  /** The command line itself was wrong. */
  public static final int USAGE = 2;

  /** The command ran to its end, but what it was to reach or confirm was not. */
  public static final int NOT_MET = 3;

  /** Ctrl-C: the Java virtual machine's own code for the signal. */
  public static final int INTERRUPTED = 130;

  private ExitCodes() {}
}
