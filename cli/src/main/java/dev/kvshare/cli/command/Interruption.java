package dev.kvshare.cli.command;

import com.sun.jna.NativeLibrary;
import com.sun.jna.Platform;
import dev.kvshare.cli.print.Terminal;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;

/**
 * What is said when Ctrl-C ends a command. Nothing has to be rescued at that moment: output files
 * appear only when they are whole, and the search's journal is on disk after every step.
 */
public final class Interruption {
  private final AtomicBoolean ended = new AtomicBoolean();
  private final AtomicReference<String> advice = new AtomicReference<>("nothing was written.");

  /** An interruption that is never noticed, for commands run inside another program. */
  public static Interruption none() {
    return new Interruption();
  }

  /** Prints the latest advice on the terminal if the process ends before the command does. */
  public static Interruption watch(Terminal terminal) {
    Interruption interruption = new Interruption();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  if (!interruption.ended.get()) {
                    terminal.out().flush();
                    terminal.err().println();
                    terminal.err().println("kvshare: interrupted; " + interruption.advice.get());
                    terminal.err().flush();
                    endProcess();
                  }
                },
                "kvshare-interruption"));
    return interruption;
  }

  /**
   * Ends the process at once, by {@code _exit}. Any other way runs what C++ libraries want to do at
   * the end of a process, {@link Runtime#halt} too if the computation does not come back to Java
   * within 0.3 seconds: it takes them down under a computation that still runs in them, which ends
   * in a crash.
   */
  private static void endProcess() {
    try {
      NativeLibrary.getInstance(Platform.C_LIBRARY_NAME)
          .getFunction("_exit")
          .invoke(new Object[] {ExitCodes.INTERRUPTED});
    } catch (UnsatisfiedLinkError e) {
      Runtime.getRuntime().halt(ExitCodes.INTERRUPTED);
    }
  }

  /** Replaces what is printed after "interrupted; ". */
  void advise(String sentence) {
    advice.set(sentence);
  }

  /** The command has ended by itself; the process may end in silence. */
  public void commandEnded() {
    ended.set(true);
  }
}
