package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.storage.ModelFile;
import dev.kvshare.apply.model.storage.Problems;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * Reads the header of a GGUF file from front to back. Every length is compared with the rest of the
 * file before anything of that size is allocated.
 */
final class HeaderCursor {
  private static final int BUFFER_BYTES = 1 << 16;
  private static final String REMEDY = "The file is damaged or incomplete; download it again.";

  private final ModelFile file;
  private final Problems problems;
  private final ByteBuffer buffer =
      ByteBuffer.allocate(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN).limit(0);
  private long bufferStart;

  HeaderCursor(ModelFile file, Problems problems) {
    this.file = file;
    this.problems = problems;
  }

  /** Offset of the next byte in the file. */
  long position() {
    return bufferStart + buffer.position();
  }

  long remaining() {
    return file.size() - position();
  }

  int unsignedByte(String what) {
    return ensure(1, what).get() & 0xff;
  }

  int unsignedShort(String what) {
    return ensure(2, what).getShort() & 0xffff;
  }

  int int32(String what) {
    return ensure(4, what).getInt();
  }

  long unsignedInt(String what) {
    return Integer.toUnsignedLong(int32(what));
  }

  long int64(String what) {
    return ensure(8, what).getLong();
  }

  float float32(String what) {
    return ensure(4, what).getFloat();
  }

  double float64(String what) {
    return ensure(8, what).getDouble();
  }

  /**
   * A 64-bit count of things that follow.
   *
   * @param itemBytes bytes that one of them takes at least
   * @param limit the most that is accepted, whatever the size of the file
   */
  int count(String what, int itemBytes, int limit) {
    long start = position();
    long count = int64(what);
    long possible = Math.min(limit, remaining() / itemBytes);
    if (count < 0 || count > possible) {
      throw stop(
          what
              + " at byte "
              + start
              + " is "
              + Long.toUnsignedString(count)
              + ", but with "
              + remaining()
              + " bytes left in the file at most "
              + possible
              + " are possible");
    }
    return (int) count;
  }

  /** A 64-bit length and as many bytes of UTF-8. Invalid sequences are replaced. */
  String text(String what, int maxBytes) {
    int length = count("the length of " + what, 1, maxBytes);
    byte[] bytes = new byte[length];
    for (int done = 0; done < length; ) {
      int part = Math.min(length - done, BUFFER_BYTES);
      ensure(part, what).get(bytes, done, part);
      done += part;
    }
    return new String(bytes, StandardCharsets.UTF_8);
  }

  /** The exception for a header that cannot be read on. */
  CheckpointException stop(String problem) {
    return problems.stop(problem, REMEDY);
  }

  private ByteBuffer ensure(int bytes, String what) {
    if (buffer.remaining() < bytes) {
      long start = position();
      if (file.size() - start < bytes) {
        throw stop(
            what
                + " at byte "
                + start
                + " needs "
                + bytes
                + " bytes, but the file ends after "
                + (file.size() - start));
      }
      buffer.clear().limit((int) Math.min(BUFFER_BYTES, file.size() - start));
      file.read(start, buffer);
      buffer.flip();
      bufferStart = start;
    }
    return buffer;
  }
}
