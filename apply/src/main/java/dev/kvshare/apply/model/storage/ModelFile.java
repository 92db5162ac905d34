package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.CheckpointException;
import java.io.IOException;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;

/** A weight file opened for mapping. Refuses what is no weight file before any format is parsed. */
public final class ModelFile implements AutoCloseable {
  private static final int SNIFFED_BYTES = 512;

  private final Path path;
  private final FileChannel channel;
  private final long size;

  private ModelFile(Path path, FileChannel channel, long size) {
    this.path = path;
    this.channel = channel;
    this.size = size;
  }

  /** Opens a file, having looked at its first bytes for a Git LFS pointer or a web page. */
  public static ModelFile open(Path path) {
    FileChannel channel = null;
    try {
      if (Files.exists(path) && !Files.isRegularFile(path)) {
        throw new CheckpointException(
            "%s: %s, where a weight file is expected. Put the file itself there."
                .formatted(
                    path, Files.isDirectory(path) ? "a directory" : "a pipe, socket or device"));
      }
      channel = FileChannel.open(path, StandardOpenOption.READ);
      ModelFile file = new ModelFile(path, channel, channel.size());
      file.refuseForeignContent();
      return file;
    } catch (IOException | RuntimeException e) {
      close(channel);
      throw e instanceof IOException broken ? failure(path, broken) : (RuntimeException) e;
    }
  }

  public Path path() {
    return path;
  }

  /** Bytes in the file when it was opened. */
  public long size() {
    return size;
  }

  /** Maps a range read-only, little-endian; at most 2 GiB. */
  public ByteBuffer map(long offset, long length) {
    if (offset < 0 || length < 0 || length > size - offset || length > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          path + ": bytes " + offset + " + " + length + " of " + size + " cannot be mapped");
    }
    try {
      if (channel.size() < size) {
        throw new CheckpointException.Corrupt(
            "%s: the file shrank from %s to %s bytes while it was open. Run again when nothing writes to it."
                .formatted(path, size, channel.size()));
      }
      return channel
          .map(FileChannel.MapMode.READ_ONLY, offset, length)
          .order(ByteOrder.LITTLE_ENDIAN);
    } catch (IOException e) {
      throw failure(path, e);
    }
  }

  /** Fills the buffer from the given offset on. */
  public void read(long offset, ByteBuffer dst) {
    try {
      long position = offset;
      while (dst.hasRemaining()) {
        int count = channel.read(dst, position);
        if (count < 0) {
          throw new CheckpointException.Corrupt(
              path + ": ends at byte " + position + ", before the data that its header announces.");
        }
        position += count;
      }
    } catch (IOException e) {
      throw failure(path, e);
    }
  }

  @Override
  public void close() {
    close(channel);
  }

  /** Turns an I/O error into a message that says what to do. */
  public static CheckpointException failure(Path path, IOException cause) {
    String reason =
        cause instanceof NoSuchFileException
            ? "the file does not exist; check the path or download the model again."
            : cause instanceof AccessDeniedException
                ? "the file may not be read; check its permissions."
                : "reading failed: " + cause.getMessage() + ". Check the disk and try again.";
    return new CheckpointException(path + ": " + reason, cause);
  }

  private void refuseForeignContent() {
    ByteBuffer start = ByteBuffer.allocate((int) Math.min(SNIFFED_BYTES, size));
    read(0, start);
    String problem = foreignContent(new String(start.array(), StandardCharsets.ISO_8859_1));
    if (problem != null) {
      throw new CheckpointException.Corrupt(path + " (" + size + " bytes): " + problem);
    }
  }

  private static void close(FileChannel channel) {
    if (channel != null) {
      try {
        channel.close();
      } catch (IOException e) {
        throw new CheckpointException("closing a model file failed: " + e.getMessage(), e);
      }
    }
  }

  /**
   * A mapped range of a file that leaves the process when it is closed. Java alone unmaps a buffer
   * when the garbage collector finds it, and until then its pages count as memory of the process.
   *
   * <p>Unmapping goes through {@code sun.misc.Unsafe.invokeCleaner}, as in the {@code
   * MMapDirectory} of Apache Lucene 9; on a Java without it the garbage collector is left to do it.
   */
  record MappedRange(ByteBuffer bytes) implements AutoCloseable {
    private static final MethodHandle CLEANER = cleaner();

    @Override
    public void close() {
      if (CLEANER != null) {
        try {
          CLEANER.invokeExact(bytes);
        } catch (Throwable e) {
          throw new IllegalStateException("a mapped range cannot be unmapped", e);
        }
      }
    }

    private static MethodHandle cleaner() {
      try {
        Class<?> unsafe = Class.forName("sun.misc.Unsafe");
        Field instance = unsafe.getDeclaredField("theUnsafe");
        instance.setAccessible(true);
        MethodType type = MethodType.methodType(void.class, ByteBuffer.class);
        return MethodHandles.lookup()
            .findVirtual(unsafe, "invokeCleaner", type)
            .bindTo(instance.get(null));
      } catch (ReflectiveOperationException | RuntimeException unavailable) {
        return null;
      }
    }
  }

  /** What a file that starts so (ISO 8859-1) is instead of a model, and what to do; or null. */
  public static String foreignContent(String start) {
    if (start.startsWith("version https://git-lfs.github.com/spec/")) {
      return "this is a Git LFS pointer, not the file itself. Run `git lfs pull` in the repository, or download the file again.";
    }
    String text = start.stripLeading().toLowerCase(Locale.ROOT);
    if (text.startsWith("<!doctype") || text.startsWith("<html") || text.startsWith("<?xml")) {
      return "this is a web page (HTML), not a model: probably a login or error page was saved. Download the file again, with a token if the model is gated.";
    }
    return null;
  }
}
