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
 * offsets count from there and are multiples of it. Sizes are innermost first. Every length is
 * compared with the rest of the file before anything of that size is allocated.
 */
final class HeaderReader {
  private static final int MAGIC = 0x46554747;

  /** What takes the place of bytes that are no UTF-8. */
  private static final char REPLACEMENT = '\uFFFD';

  private static final int MAX_NAME_BYTES = 65_535;
  private static final int MAX_TEXT_BYTES = 1 << 26;
  private static final int MAX_ELEMENTS = 1 << 24;
  private static final int MAX_DIMENSIONS = 4;
  private static final int PAIR_BYTES = 8 + 4 + 1;
  private static final int TENSOR_BYTES = 8 + 4 + 4 + 8;
  private static final int BUFFER_BYTES = 1 << 16;

  private final ModelFile file;
  private final Problems problems;
  private final ByteBuffer buffer =
      ByteBuffer.allocate(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN).limit(0);
  private long bufferStart;

  /** A tensor as in the header: sizes innermost first, offset from the start of the data. */
  record RawTensor(String name, List<Long> sizes, long type, long offset) {}

  /** What was read; {@code end} is the offset of the first byte behind it. */
  record Header(Metadata metadata, List<RawTensor> tensors, long end) {}

  HeaderReader(ModelFile file, Problems problems) {
    this.file = file;
    this.problems = problems;
  }

  Header read() {
    readVersion();
    int tensorCount = count("the number of tensors", TENSOR_BYTES, MAX_ELEMENTS);
    int pairCount = count("the number of metadata keys", PAIR_BYTES, MAX_ELEMENTS);
    Map<String, Metadata.Entry> entries = new LinkedHashMap<>();
    for (int i = 0; i < pairCount; i++) {
      readPair(i, entries);
    }
    List<RawTensor> tensors = new ArrayList<>();
    for (int i = 0; i < tensorCount; i++) {
      tensors.add(readTensor(i));
    }
    return new Header(new Metadata(entries, problems), tensors, position());
  }

  private void readVersion() {
    if (file.size() < 4 || int32("the magic") != MAGIC) {
      throw new CheckpointException.Corrupt(
          "%s (%s bytes): the first four bytes are not 'GGUF'. It is no GGUF file, is older than that format, or its download is incomplete. Download it again."
              .formatted(file.path(), file.size()));
    }
    int version = int32("the version");
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
    String key = name("metadata key " + index);
    String what = "the value of key '" + key + "'";
    ValueType type = readType(what);
    long offset = position();
    Metadata.Entry entry;
    if (type == ValueType.ARRAY) {
      ValueType elements = readType("an element of key '" + key + "'");
      if (elements == ValueType.ARRAY) {
        throw stop("key '" + key + "' at byte " + offset + " is an array of arrays");
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
    long offset = position();
    long type = unsignedInt("the type of " + what);
    if (type >= ValueType.values().length) {
      throw stop(
          "the type of %s at byte %s is %s, but types are 0 to %s"
              .formatted(what, offset, type, ValueType.values().length - 1));
    }
    return ValueType.values()[(int) type];
  }

  private List<Object> readArray(String key, ValueType type) {
    String what = "the number of elements of key '" + key + "'";
    int count = count(what, type.minimumBytes, MAX_ELEMENTS);
    List<Object> values = new ArrayList<>(Math.min(count, 1 << 20));
    String element = "an element of key '" + key + "'";
    for (int i = 0; i < count; i++) {
      values.add(readValue(element, type));
    }
    return values;
  }

  private Object readValue(String what, ValueType type) {
    return switch (type) {
      case UINT8 -> next(1, what).get() & 0xffL;
      case INT8 -> (long) next(1, what).get();
      case UINT16 -> next(2, what).getShort() & 0xffffL;
      case INT16 -> (long) next(2, what).getShort();
      case UINT32 -> unsignedInt(what);
      case INT32 -> (long) int32(what);
      case UINT64 -> readUnsigned64(what);
      case INT64 -> int64(what);
      case FLOAT32 -> (double) next(4, what).getFloat();
      case FLOAT64 -> next(8, what).getDouble();
      case BOOL -> readBool(what);
      case STRING -> text(what, MAX_TEXT_BYTES);
      case ARRAY -> throw stop(what + " is an array of arrays");
    };
  }

  private Long readUnsigned64(String what) {
    long offset = position();
    long value = int64(what);
    if (value < 0) {
      problems.corrupt(
          "%s at byte %s is %s, but at most 2^63-1 is possible"
              .formatted(what, offset, Long.toUnsignedString(value)));
      return 0L;
    }
    return value;
  }

  private Boolean readBool(String what) {
    long offset = position();
    int value = next(1, what).get() & 0xff;
    if (value > 1) {
      problems.corrupt(
          what + " at byte " + offset + " is the bool " + value + ", but 0 or 1 is one");
    }
    return value == 1;
  }

  private RawTensor readTensor(int index) {
    String name = name("the name of tensor " + index);
    String what = "tensor '" + name + "'";
    long dimensions = unsignedInt("the number of dimensions of " + what);
    if (dimensions > MAX_DIMENSIONS) {
      throw stop(
          "%s has %s dimensions at byte %s, but at most %s are possible"
              .formatted(what, dimensions, position() - 4, MAX_DIMENSIONS));
    }
    List<Long> sizes = new ArrayList<>();
    for (int i = 0; i < dimensions; i++) {
      sizes.add(int64("a size of " + what));
    }
    long type = unsignedInt("the type of " + what);
    return new RawTensor(name, sizes, type, int64("the offset of " + what));
  }

  /** Offset of the next byte in the file. */
  private long position() {
    return bufferStart + buffer.position();
  }

  private int int32(String what) {
    return next(Integer.BYTES, what).getInt();
  }

  private long unsignedInt(String what) {
    return Integer.toUnsignedLong(int32(what));
  }

  private long int64(String what) {
    return next(Long.BYTES, what).getLong();
  }

  /** A 64-bit count of things that follow, of at least {@code itemBytes} each. */
  private int count(String what, int itemBytes, int limit) {
    long start = position();
    long count = int64(what);
    long remaining = file.size() - position();
    long possible = Math.min(limit, remaining / itemBytes);
    if (count < 0 || count > possible) {
      throw stop(
          "%s at byte %s is %s, but with %s bytes left in the file at most %s are possible"
              .formatted(what, start, Long.toUnsignedString(count), remaining, possible));
    }
    return (int) count;
  }

  private String name(String what) {
    long offset = position();
    String name = text(what, MAX_NAME_BYTES);
    if (name.indexOf(REPLACEMENT) >= 0) {
      throw stop("%s at byte %s is '%s', which is no UTF-8".formatted(what, offset, name));
    }
    return name;
  }

  /** A 64-bit length and as many bytes of UTF-8. Invalid sequences are replaced. */
  private String text(String what, int maxBytes) {
    byte[] bytes = new byte[count("the length of " + what, 1, maxBytes)];
    for (int done = 0; done < bytes.length; ) {
      int part = Math.min(bytes.length - done, BUFFER_BYTES);
      next(part, what).get(bytes, done, part);
      done += part;
    }
    return new String(bytes, StandardCharsets.UTF_8);
  }

  /** The exception for a header that cannot be read on. */
  private CheckpointException stop(String problem) {
    return problems.stop(problem, "The file is damaged or incomplete; download it again.");
  }

  /** The buffer with at least so many bytes in it, which the file must have. */
  private ByteBuffer next(int bytes, String what) {
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
