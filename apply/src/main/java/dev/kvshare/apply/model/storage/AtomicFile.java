package dev.kvshare.apply.model.storage;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Writes files that are never half written: under a temporary name in the same folder, synced to
 * disk, then renamed. An existing file is replaced only by a complete one.
 */
public final class AtomicFile {
  private AtomicFile() {}

  @FunctionalInterface
  public interface Content {
    /** Writes everything to {@code out}, which stays open. */
    void writeTo(OutputStream out) throws IOException;
  }

  /** Writes {@code content} to {@code target}, which stays as it was where that fails. */
  public static void write(Path target, Content content) {
    checkWritable(target);
    deleteAbandoned(target);
    Path temporary = temporaryFor(target);
    try {
      try (FileChannel channel = create(temporary);
          OutputStream out = new BufferedOutputStream(Channels.newOutputStream(channel))) {
        content.writeTo(out);
        out.flush();
        channel.force(true);
      }
      rename(temporary, resolved(target));
    } catch (IOException e) {
      throw new OutputException(
          "Cannot write %s: %s. %s; free some space or choose another place."
              .formatted(
                  target,
                  reason(e),
                  Files.exists(target) ? "The file there is as it was" : "There is no such file"),
          e);
    } finally {
      deleteQuietly(temporary);
    }
  }

  /** Renames a file that was written, in place of what is there. */
  public static void move(Path from, Path target) {
    try {
      rename(from, resolved(target));
    } catch (IOException e) {
      throw new OutputException(
          "Cannot rename %s to %s: %s. Rename it by hand.".formatted(from, target, reason(e)), e);
    }
  }

  /**
   * Checks that {@code target} can be written, by creating and removing a temporary file beside it;
   * meant to be called before a long computation whose result goes there.
   *
   * @throws OutputException if it cannot
   */
  public static void checkWritable(Path target) {
    if (Files.exists(target) && !Files.isRegularFile(target)) {
      throw new OutputException(
          "Cannot write %s: it is %s. Give the name of a file."
              .formatted(
                  target, Files.isDirectory(target) ? "a directory" : "not an ordinary file"),
          null);
    }
    Path folder = resolved(target).getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      throw new OutputException(
          "Cannot write %s: the folder %s does not exist. Create it or choose another place."
              .formatted(target, folder),
          null);
    }
    Path temporary = temporaryFor(target);
    try {
      create(temporary).close();
      Files.delete(temporary);
    } catch (IOException e) {
      throw new OutputException(
          "Cannot write %s: no file can be created in the folder %s (%s). Change its permissions or choose another place."
              .formatted(target, folder, reason(e)),
          e);
    }
  }

  /** Returns the absolute path behind symbolic links, so that a link is written through. */
  private static Path resolved(Path target) {
    try {
      return target.toRealPath();
    } catch (IOException e) {
      return target.toAbsolutePath().normalize();
    }
  }

  private static Path temporaryFor(Path target) {
    Path file = resolved(target);
    String suffix = "%d-%x.tmp".formatted(ProcessHandle.current().pid(), System.nanoTime());
    return file.resolveSibling(temporaryPrefix(file) + suffix);
  }

  private static String temporaryPrefix(Path file) {
    return "." + file.getFileName() + ".";
  }

  /** Deletes what a process that was killed left when it wrote the same file. */
  private static void deleteAbandoned(Path target) {
    Path file = resolved(target);
    Pattern names =
        Pattern.compile(Pattern.quote(temporaryPrefix(file)) + "(\\d{1,10})-\\p{XDigit}+\\.tmp");
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(file.getParent())) {
      for (Path entry : entries) {
        Matcher name = names.matcher(entry.getFileName().toString());
        if (name.matches()
            && ProcessHandle.of(Long.parseLong(name.group(1))).isEmpty()
            && !isLocked(entry)) {
          deleteQuietly(entry);
        }
      }
    } catch (IOException | DirectoryIteratorException e) {
      // A left-over temporary file is harmless.
    }
  }

  /** The lock tells processes of other machines that share the folder. */
  @SuppressWarnings("resource")
  private static FileChannel create(Path file) throws IOException {
    FileChannel channel =
        FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    try {
      FileLock unused = channel.tryLock();
    } catch (IOException e) {
      // A file system without locks.
    }
    return channel;
  }

  private static boolean isLocked(Path file) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE);
        FileLock lock = channel.tryLock()) {
      return lock == null;
    }
  }

  private static void rename(Path from, Path to) throws IOException {
    try {
      Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    } catch (AtomicMoveNotSupportedException e) {
      Files.move(from, to, StandardCopyOption.REPLACE_EXISTING);
    }
  }

  private static String reason(IOException e) {
    return e.getClass().getSimpleName() + ": " + e.getMessage();
  }

  /** Deletes a file that is not needed any more, if that can be done. */
  public static void deleteQuietly(Path file) {
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      // The write has succeeded or has its own message; a left-over temporary file is harmless.
    }
  }

  /** A place where a result cannot be written. The message is one paragraph for the user. */
  public static final class OutputException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public OutputException(String message, Throwable cause) {
      super(message, cause);
    }
  }
}
