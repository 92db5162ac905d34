package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.CorruptCheckpointException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

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
      if (Files.isDirectory(path)) {
        throw new CheckpointException(path + ": a directory, where a weight file is expected.");
      }
      channel = FileChannel.open(path, StandardOpenOption.READ);
      ModelFile file = new ModelFile(path, channel, channel.size());
      file.refuseForeignContent();
      return file;
    } catch (IOException e) {
      close(channel);
      throw failure(path, e);
    } catch (RuntimeException e) {
      close(channel);
      throw e;
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
        throw new CorruptCheckpointException(
            path
                + ": the file shrank from "
                + size
                + " to "
                + channel.size()
                + " bytes while it was open. Run again when nothing writes to it.");
      }
      return channel
          .map(FileChannel.MapMode.READ_ONLY, offset, length)
          .order(ByteOrder.LITTLE_ENDIAN);
    } catch (IOException e) {
      throw failure(path, e);
    }
  }

  /** As {@link #map}, to be closed by the caller once nothing reads it. */
  MappedRange mapRange(long offset, long length) {
    return new MappedRange(map(offset, length));
  }

  /** Fills the buffer from the given offset on. */
  public void read(long offset, ByteBuffer dst) {
    try {
      long position = offset;
      while (dst.hasRemaining()) {
        int count = channel.read(dst, position);
        if (count < 0) {
          throw new CorruptCheckpointException(
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
    String text = new String(start.array(), StandardCharsets.ISO_8859_1);
    String problem = ForeignContent.describe(text);
    if (problem != null) {
      throw new CorruptCheckpointException(path + " (" + size + " bytes): " + problem);
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
}
