package dev.kvshare.cli.print;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * What surrounds a command: its two output streams, what is known about them, and the environment.
 *
 * @param out results
 * @param err progress, log lines, warnings and errors
 * @param outIsTerminal whether a person reads {@code out} as it is written
 * @param errIsTerminal whether a person reads {@code err} as it is written
 * @param columns characters a line
 * @param environment the environment variables
 */
public record Terminal(
    PrintWriter out,
    PrintWriter err,
    boolean outIsTerminal,
    boolean errIsTerminal,
    int columns,
    Map<String, String> environment) {
  private static final int DEFAULT_COLUMNS = 80;
  private static final int MIN_COLUMNS = 40;

  /**
   * The streams of this process, always UTF-8. Java cannot tell which of its streams is a terminal,
   * so the launcher says so in system properties.
   *
   * @param results standard output
   */
  public static Terminal ofProcess(OutputStream results) {
    return new Terminal(
        writer(results),
        writer(new FileOutputStream(FileDescriptor.err)),
        Boolean.getBoolean("kvshare.terminal.out"),
        Boolean.getBoolean("kvshare.terminal.err"),
        processColumns(),
        System.getenv());
  }

  /** A terminal of width 0 does not know it. */
  private static int processColumns() {
    int columns = Integer.getInteger("kvshare.terminal.columns", 0);
    return columns == 0 ? DEFAULT_COLUMNS : Math.max(MIN_COLUMNS, columns);
  }

  private static PrintWriter writer(OutputStream stream) {
    return new PrintWriter(new OutputStreamWriter(stream, StandardCharsets.UTF_8), true);
  }

  /** Whether the environment forbids colors (https://no-color.org). */
  public boolean forbidsColor() {
    return !environment.getOrDefault("NO_COLOR", "").isEmpty();
  }

  /** Whether the reader of the results has gone away, as in {@code kvshare apply | head -n 1}. */
  boolean readerIsGone() {
    return out.checkError();
  }

  /** Standard output that remembers why it could not be written; writers on top only tell that. */
  public static final class ResultStream extends OutputStream {
    private static final String BROKEN_PIPE = "Broken pipe";

    private final OutputStream out = new FileOutputStream(FileDescriptor.out);
    private IOException failure;

    @Override
    public void write(int b) throws IOException {
      write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int offset, int length) throws IOException {
      try {
        out.write(bytes, offset, length);
      } catch (IOException e) {
        failure = e;
        throw e;
      }
    }

    /** What lost results, or null; a reader that went away, as {@code head} does, loses none. */
    public IOException lost() {
      return failure != null && !BROKEN_PIPE.equals(failure.getMessage()) ? failure : null;
    }
  }
}
