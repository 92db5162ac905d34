package dev.kvshare.cli.print;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;

/** Standard output that remembers why it could not be written; writers on top only tell that. */
public final class ResultStream extends OutputStream {
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
