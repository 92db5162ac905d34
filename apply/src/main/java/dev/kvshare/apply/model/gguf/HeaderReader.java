package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.gguf.Metadata.ValueType;
import dev.kvshare.apply.model.storage.ModelFile;
import dev.kvshare.apply.model.storage.Problems;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads the header of a GGUF file, version 2 or 3:
 *
 * <pre>
 * file     := "GGUF" version:u32 tensors:u64 pairs:u64 pair* tensor* padding data
 * pair     := key:string type:u32 value
 * string   := length:u64 bytes
 * array    := type:u32 count:u64 value*
 * tensor   := name:string dimensions:u32 size:u64* type:u32 offset:u64
 * </pre>
 *
 * All little-endian. Padding fills up to a multiple of {@code general.alignment} (32 when absent);
 * offsets count from there and are multiples of it. Sizes are innermost first.
 */
final class HeaderReader {
  private static final int MAGIC = 0x46554747;
  private static final int MAX_NAME_BYTES = 65_535;
  private static final int MAX_TEXT_BYTES = 1 << 26;
  private static final int MAX_ELEMENTS = 1 << 24;
  private static final int MAX_DIMENSIONS = 4;
  private static final int PAIR_BYTES = 8 + 4 + 1;
  private static final int TENSOR_BYTES = 8 + 4 + 4 + 8;

  private final ModelFile file;
  private final Problems problems;
  private final HeaderCursor cursor;

  /**
   * A tensor as the header describes it.
   *
   * @param sizes innermost first
   * @param type number of the ggml type
   * @param offset first byte, counted from the start of the data
   */
  record RawTensor(String name, List<Long> sizes, long type, long offset) {}

  /**
   * What was read.
   *
   * @param end offset of the first byte behind it
   */
  record Header(Metadata metadata, List<RawTensor> tensors, long end) {}

  HeaderReader(ModelFile file, Problems problems) {
    this.file = file;
    this.problems = problems;
    this.cursor = new HeaderCursor(file, problems);
  }

  Header read() {
    readVersion();
    int tensorCount = cursor.count("the number of tensors", TENSOR_BYTES, MAX_ELEMENTS);
    int pairCount = cursor.count("the number of metadata keys", PAIR_BYTES, MAX_ELEMENTS);
    Map<String, Metadata.Entry> entries = new LinkedHashMap<>();
    for (int i = 0; i < pairCount; i++) {
      readPair(i, entries);
    }
    List<RawTensor> tensors = new ArrayList<>();
    for (int i = 0; i < tensorCount; i++) {
      tensors.add(readTensor(i));
    }
    return new Header(new Metadata(entries, problems), tensors, cursor.position());
  }

  private void readVersion() {
    if (file.size() < 4 || cursor.int32("the magic") != MAGIC) {
      throw new CheckpointException.Corrupt(
          "%s (%s bytes): the first four bytes are not 'GGUF'. It is no GGUF file, is older than that format, or its download is incomplete. Download it again."
              .formatted(file.path(), file.size()));
    }
    int version = cursor.int32("the version");
    int swapped = Integer.reverseBytes(version);
    if (swapped >= 1 && swapped <= 3) {
      throw new CheckpointException.Unsupported(
          "%s: a big-endian GGUF file (version %s); only little-endian ones can be read. Convert the model again on or for a little-endian machine."
              .formatted(file.path(), swapped));
    }
    if (version != 2 && version != 3) {
      throw new CheckpointException.Unsupported(
          "%s: GGUF version %s at byte 4, but versions 2 and 3 can be read. %s"
              .formatted(
                  file.path(),
                  Integer.toUnsignedString(version),
                  version == 0 || version == 1
                      ? "Convert the model again with a current llama.cpp."
                      : "Use a newer kvshare, or check that the file is not damaged."));
    }
  }

  private void readPair(int index, Map<String, Metadata.Entry> entries) {
    String key = cursor.text("metadata key " + index, MAX_NAME_BYTES);
    String what = "the value of key '" + key + "'";
    ValueType type = readType(what);
    long offset = cursor.position();
    Metadata.Entry entry;
    if (type == ValueType.ARRAY) {
      ValueType elements = readType("an element of key '" + key + "'");
      if (elements == ValueType.ARRAY) {
        throw cursor.stop("key '" + key + "' at byte " + offset + " is an array of arrays");
      }
      entry = new Metadata.Entry(elements, readArray(key, elements), offset);
    } else {
      entry = new Metadata.Entry(type, readValue(what, type), offset);
    }
    if (entries.putIfAbsent(key, entry) != null) {
      problems.corrupt("key '" + key + "' is there twice, again at byte " + offset);
    }
  }

  private ValueType readType(String what) {
    long offset = cursor.position();
    long type = cursor.unsignedInt("the type of " + what);
    if (type >= ValueType.values().length) {
      throw cursor.stop(
          "the type of %s at byte %s is %s, but types are 0 to %s"
              .formatted(what, offset, type, ValueType.values().length - 1));
    }
    return ValueType.values()[(int) type];
  }

  private List<Object> readArray(String key, ValueType type) {
    String what = "the number of elements of key '" + key + "'";
    int count = cursor.count(what, type.minimumBytes(), MAX_ELEMENTS);
    List<Object> values = new ArrayList<>(Math.min(count, 1 << 20));
    String element = "an element of key '" + key + "'";
    for (int i = 0; i < count; i++) {
      values.add(readValue(element, type));
    }
    return values;
  }

  private Object readValue(String what, ValueType type) {
    return switch (type) {
      case UINT8 -> (long) cursor.unsignedByte(what);
      case INT8 -> (long) (byte) cursor.unsignedByte(what);
      case UINT16 -> (long) cursor.unsignedShort(what);
      case INT16 -> (long) (short) cursor.unsignedShort(what);
      case UINT32 -> cursor.unsignedInt(what);
      case INT32 -> (long) cursor.int32(what);
      case UINT64 -> readUnsigned64(what);
      case INT64 -> cursor.int64(what);
      case FLOAT32 -> (double) cursor.float32(what);
      case FLOAT64 -> cursor.float64(what);
      case BOOL -> readBool(what);
      case STRING -> cursor.text(what, MAX_TEXT_BYTES);
      case ARRAY -> throw cursor.stop(what + " is an array of arrays");
    };
  }

  private Long readUnsigned64(String what) {
    long offset = cursor.position();
    long value = cursor.int64(what);
    if (value < 0) {
      problems.corrupt(
          "%s at byte %s is %s, but at most 2^63-1 is possible"
              .formatted(what, offset, Long.toUnsignedString(value)));
      return 0L;
    }
    return value;
  }

  private Boolean readBool(String what) {
    long offset = cursor.position();
    int value = cursor.unsignedByte(what);
    if (value > 1) {
      problems.corrupt(
          what + " at byte " + offset + " is the bool " + value + ", but 0 or 1 is one");
    }
    return value == 1;
  }

  /**
   * Reads a tensor's description. What cannot be right in itself is refused here.
   *
   * @throws CheckpointException when the rest of the header cannot be found any more
   */
  private RawTensor readTensor(int index) {
    String name = cursor.text("the name of tensor " + index, MAX_NAME_BYTES);
    String what = "tensor '" + name + "'";
    long dimensions = cursor.unsignedInt("the number of dimensions of " + what);
    if (dimensions > MAX_DIMENSIONS) {
      throw cursor.stop(
          "%s has %s dimensions at byte %s, but at most %s are possible"
              .formatted(what, dimensions, cursor.position() - 4, MAX_DIMENSIONS));
    }
    List<Long> sizes = new ArrayList<>();
    for (int i = 0; i < dimensions; i++) {
      sizes.add(cursor.int64("a size of " + what));
    }
    long type = cursor.unsignedInt("the type of " + what);
    return new RawTensor(name, sizes, type, cursor.int64("the offset of " + what));
  }

  /**
   * Reads the header of a GGUF file from front to back. Every length is compared with the rest of
   * the file before anything of that size is allocated.
   */
  private static final class HeaderCursor {
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
            "%s at byte %s is %s, but with %s bytes left in the file at most %s are possible"
                .formatted(what, start, Long.toUnsignedString(count), remaining(), possible));
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
              "%s at byte %s needs %s bytes, but the file ends after %s"
                  .formatted(what, start, bytes, file.size() - start));
        }
        buffer.clear().limit((int) Math.min(BUFFER_BYTES, file.size() - start));
        file.read(start, buffer);
        buffer.flip();
        bufferStart = start;
      }
      return buffer;
    }
  }
}
