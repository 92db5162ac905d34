package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * Keeps two runs, of this process or of others, from writing the same output. The operating system
 * lifts the lock when the process ends, however it ends; the hidden file that carries it may stay.
 */
public final class OutputLock implements AutoCloseable {
  private final Path file;
  private final FileChannel channel;

  private OutputLock(Path file, FileChannel channel) {
    this.file = file;
    this.channel = channel;
  }

  /**
   * Locks an output until the lock is closed.
   *
   * @throws OutputException if another run has it
   */
  public static OutputLock of(Path output) {
    Path target = output.toAbsolutePath();
    Path file = target.resolveSibling("." + target.getFileName() + ".lock");
    FileChannel channel = null;
    try {
      channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      FileLock lock = channel.tryLock();
      if (lock != null) {
        return new OutputLock(file, channel);
      }
    } catch (OverlappingFileLockException e) {
      // Another run of this process has it.
    } catch (IOException e) {
      throw new OutputException(
          "Cannot lock %s by the file %s: %s. Choose another place for the output."
              .formatted(output, file, e.getMessage()),
          e);
    }
    close(channel);
    throw new OutputException(
        "Another run is writing %s. Wait until it ends, or choose another output."
            .formatted(output),
        null);
  }

  @Override
  public void close() {
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      // An empty file that stays locks nothing.
    }
    close(channel);
  }

  private static void close(FileChannel channel) {
    try {
      channel.close();
    } catch (IOException e) {
      // Nothing was written to it.
    }
  }
}
