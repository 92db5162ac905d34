package dev.kvshare.datasets;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.airlift.compress.Decompressor;
import io.airlift.compress.lz4.Lz4Decompressor;
import io.airlift.compress.snappy.SnappyDecompressor;
import io.airlift.compress.zstd.ZstdDecompressor;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.zip.GZIPInputStream;
import org.apache.parquet.ParquetReadOptions;
import org.apache.parquet.bytes.BytesInput;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.compression.CompressionCodecFactory;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.hadoop.metadata.BlockMetaData;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.ColumnIOFactory;
import org.apache.parquet.io.DelegatingSeekableInputStream;
import org.apache.parquet.io.InputFile;
import org.apache.parquet.io.RecordReader;
import org.apache.parquet.io.SeekableInputStream;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.io.api.Converter;
import org.apache.parquet.io.api.GroupConverter;
import org.apache.parquet.io.api.PrimitiveConverter;
import org.apache.parquet.io.api.RecordMaterializer;
import org.apache.parquet.schema.GroupType;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.Type;

/**
 * Reads the rows of a Parquet file as the objects that JSON lines would hold: lists as arrays,
 * structs as objects, maps with texts as keys as objects, missing values as null. Dates and decimal
 * numbers are the integers that the file stores.
 *
 * <p>Nothing that a file says of itself is believed: sizes are compared with what is there, and
 * what comes out of decompression, and all values together, stay below the size that a text may
 * have.
 */
final class ParquetRows {
  private static final byte[] MAGIC = "PAR1".getBytes(StandardCharsets.US_ASCII);
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;
  private static final Type.Repetition REPEATED = Type.Repetition.REPEATED;

  /** What a value counts at least, so that many small ones have an end too. */
  private static final int BYTES_OF_A_VALUE = 16;

  private final String name;
  private final byte[] content;
  private long valueBytes;

  private ParquetRows(String name, byte[] content) {
    this.name = name;
    this.content = content;
  }

  /** Whether a file starts as Parquet files do. */
  static boolean is(byte[] content) {
    return Arrays.mismatch(content, 0, Math.min(4, content.length), MAGIC, 0, 4) < 0;
  }

  /**
   * Reads all rows.
   *
   * @throws DatasetException if the file is damaged, too large, or compressed in another way
   */
  static List<JsonRows.Row> read(String name, byte[] content) {
    return new ParquetRows(name, content).rows();
  }

  private List<JsonRows.Row> rows() {
    if (Arrays.mismatch(content, content.length - 4, content.length, MAGIC, 0, 4) >= 0) {
      throw damaged("it has %d bytes and ends without PAR1".formatted(content.length), null);
    }
    ParquetReadOptions options =
        ParquetReadOptions.builder(new PlainParquetConfiguration())
            .withCodecFactory(new Codecs())
            .usePageChecksumVerification()
            .build();
    List<JsonRows.Row> rows = new ArrayList<>();
    try (ParquetFileReader file = new ParquetFileReader(new Whole(), options)) {
      MessageType schema = file.getFileMetaData().getSchema();
      checkSizes(file.getRowGroups());
      for (PageReadStore group = file.readNextRowGroup();
          group != null;
          group = file.readNextRowGroup()) {
        RowConverter row = new RowConverter(schema);
        RecordReader<JsonNode> reader =
            new ColumnIOFactory().getColumnIO(schema).getRecordReader(group, row);
        for (long i = 0; i < group.getRowCount(); i++) {
          String where = "Row %d of %s".formatted(rows.size() + 1, name);
          rows.add(new JsonRows.Row(where, reader.read(), ""));
        }
      }
      return rows;
    } catch (DatasetException e) {
      throw e;
    } catch (IOException | RuntimeException | StackOverflowError e) {
      // Each part of the library has exceptions of its own for bytes that make no sense.
      throw damaged(e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage(), e);
    }
  }

  /** Compares what the footer says of the columns with the file, before memory is taken. */
  private void checkSizes(List<BlockMetaData> groups) {
    long all = 0;
    for (BlockMetaData group : groups) {
      for (var column : group.getColumns()) {
        long start = column.getStartingPos();
        long size = column.getTotalSize();
        if (start < 4 || size < 0 || size > content.length - start) {
          throw damaged(
              "column %s is said to have %d bytes from byte %d on, the file has %d"
                  .formatted(column.getPath().toDotString(), size, start, content.length),
              null);
        }
        all += size;
      }
      if (all > content.length || group.getRowCount() < 0) {
        throw damaged("its columns are said to be larger than the file", null);
      }
    }
  }

  private DatasetException damaged(String reason, Throwable cause) {
    return new DatasetException(
        "The Parquet file %s is damaged or incomplete: %s. Download it again."
            .formatted(name, reason.strip().replaceAll("\\s+", " ").replaceFirst("\\.$", "")),
        cause);
  }

  /** Counts bytes that come out of the file. */
  private void count(long bytes) {
    valueBytes += bytes;
    if (valueBytes > ByteSource.MAX_BYTES) {
      throw new DatasetException(
          "The Parquet file %s holds more than %d MiB when it is unpacked. Give a part of it."
              .formatted(name, ByteSource.MAX_BYTES >> 20));
    }
  }

  private JsonNode counted(JsonNode value, int bytes) {
    count(BYTES_OF_A_VALUE + (long) bytes);
    return value;
  }

  /** The file, which has been read. */
  private final class Whole implements InputFile {
    @Override
    public long getLength() {
      return content.length;
    }

    @Override
    public SeekableInputStream newStream() {
      Cursor cursor = new Cursor(content);
      return new DelegatingSeekableInputStream(cursor) {
        @Override
        public long getPos() {
          return cursor.place();
        }

        @Override
        public void seek(long place) throws IOException {
          cursor.seek(place);
        }
      };
    }
  }

  private static final class Cursor extends ByteArrayInputStream {
    Cursor(byte[] content) {
      super(content);
    }

    int place() {
      return pos;
    }

    void seek(long place) throws IOException {
      if (place < 0 || place > count) {
        throw new IOException("it refers to byte %d of %d".formatted(place, count));
      }
      pos = (int) place;
    }
  }

  /** The compressions of data sets, all in Java. */
  private final class Codecs implements CompressionCodecFactory {
    @Override
    public BytesInputDecompressor getDecompressor(CompressionCodecName codec) {
      Decompressor decompressor =
          switch (codec) {
            case UNCOMPRESSED, GZIP -> null;
            case SNAPPY -> new SnappyDecompressor();
            case ZSTD -> new ZstdDecompressor();
            case LZ4_RAW -> new Lz4Decompressor();
            default ->
                throw new DatasetException(
                    "The Parquet file %s is compressed by %s, which is not read here. Write it with snappy, zstd, gzip or lz4, for example with Python: pandas.read_parquet(FILE).to_parquet(\"items.parquet\")."
                        .formatted(name, codec.name().toLowerCase(Locale.ROOT)));
          };
      return new BytesInputDecompressor() {
        @Override
        public BytesInput decompress(BytesInput bytes, int size) throws IOException {
          if (codec == CompressionCodecName.UNCOMPRESSED) {
            return bytes;
          }
          return BytesInput.from(unpack(bytes.toInputStream().readAllBytes(), size, decompressor));
        }

        @Override
        public void decompress(ByteBuffer from, int packedSize, ByteBuffer to, int size)
            throws IOException {
          byte[] packed = new byte[packedSize];
          from.get(packed);
          to.put(decompress(BytesInput.from(packed), size).toInputStream().readAllBytes());
        }

        @Override
        public void release() {}
      };
    }

    private byte[] unpack(byte[] packed, int size, Decompressor decompressor) throws IOException {
      if (size < 0) {
        throw damaged("a page is said to have %d bytes".formatted(size), null);
      }
      count(size);
      byte[] bytes = new byte[size];
      int found;
      if (decompressor != null) {
        found = decompressor.decompress(packed, 0, packed.length, bytes, 0, size);
      } else {
        try (GZIPInputStream in = new GZIPInputStream(new ByteArrayInputStream(packed))) {
          found = in.readNBytes(bytes, 0, size);
        }
      }
      if (found != size) {
        throw damaged("a page has %d bytes instead of %d".formatted(found, size), null);
      }
      return bytes;
    }

    @Override
    public BytesInputCompressor getCompressor(CompressionCodecName codec) {
      throw new UnsupportedOperationException("nothing is written");
    }

    @Override
    public void release() {}
  }

  /** Makes an object of each row. */
  private final class RowConverter extends RecordMaterializer<JsonNode> {
    private final GroupConverter root;
    private JsonNode row;

    RowConverter(MessageType schema) {
      root = new ObjectConverter(schema, value -> row = value);
    }

    @Override
    public JsonNode getCurrentRecord() {
      return row;
    }

    @Override
    public GroupConverter getRootConverter() {
      return root;
    }
  }

  /** Makes what a field holds, each time that it occurs. */
  private Converter converter(Type type, Consumer<JsonNode> parent) {
    if (type.isPrimitive()) {
      return new ValueConverter(type, parent);
    }
    GroupType group = type.asGroupType();
    LogicalTypeAnnotation kind = type.getLogicalTypeAnnotation();
    boolean repeats = group.getFieldCount() == 1 && group.getType(0).isRepetition(REPEATED);
    if (repeats && kind instanceof LogicalTypeAnnotation.ListLogicalTypeAnnotation) {
      return new ListConverter(group.getType(0), parent);
    }
    if (repeats
        && !group.getType(0).isPrimitive()
        && group.getType(0).asGroupType().getFieldCount() == 2
        && (kind instanceof LogicalTypeAnnotation.MapLogicalTypeAnnotation
            || kind instanceof LogicalTypeAnnotation.MapKeyValueTypeAnnotation)) {
      return new MapConverter(group.getType(0).asGroupType(), parent);
    }
    return new ObjectConverter(group, parent);
  }

  private final class ObjectConverter extends GroupConverter {
    private final GroupType type;
    private final Consumer<JsonNode> parent;
    private final List<Converter> fields = new ArrayList<>();
    private ObjectNode value;

    ObjectConverter(GroupType type, Consumer<JsonNode> parent) {
      this.type = type;
      this.parent = parent;
      for (Type field : type.getFields()) {
        boolean several = field.isRepetition(REPEATED);
        String key = field.getName();
        fields.add(
            converter(
                field,
                found -> {
                  if (several) {
                    ((ArrayNode) value.get(key)).add(found);
                  } else {
                    value.set(key, found);
                  }
                }));
      }
    }

    @Override
    public Converter getConverter(int field) {
      return fields.get(field);
    }

    @Override
    public void start() {
      value = JSON.objectNode();
      for (Type field : type.getFields()) {
        value.set(
            field.getName(), field.isRepetition(REPEATED) ? JSON.arrayNode() : JSON.nullNode());
      }
      count((long) BYTES_OF_A_VALUE * (1 + fields.size()));
    }

    @Override
    public void end() {
      parent.accept(value);
    }
  }

  /** A list: {@code repeated group list {element}}, or as older writers do {@code repeated X}. */
  private final class ListConverter extends GroupConverter {
    private final Converter entry;
    private final Consumer<JsonNode> parent;
    private ArrayNode list;

    ListConverter(Type repeated, Consumer<JsonNode> parent) {
      this.parent = parent;
      boolean wrapped =
          !repeated.isPrimitive()
              && repeated.asGroupType().getFieldCount() == 1
              && !repeated.getName().equals("array")
              && !repeated.getName().endsWith("_tuple");
      entry =
          wrapped
              ? new EntryConverter(repeated.asGroupType(), values -> list.add(values[0]))
              : converter(repeated, found -> list.add(found));
    }

    @Override
    public Converter getConverter(int field) {
      return entry;
    }

    @Override
    public void start() {
      list = JSON.arrayNode();
    }

    @Override
    public void end() {
      parent.accept(counted(list, 0));
    }
  }

  private final class MapConverter extends GroupConverter {
    private final Converter entry;
    private final Consumer<JsonNode> parent;
    private ObjectNode map;

    MapConverter(GroupType repeated, Consumer<JsonNode> parent) {
      this.parent = parent;
      entry = new EntryConverter(repeated, values -> map.set(values[0].asText(), values[1]));
    }

    @Override
    public Converter getConverter(int field) {
      return entry;
    }

    @Override
    public void start() {
      map = JSON.objectNode();
    }

    @Override
    public void end() {
      parent.accept(counted(map, 0));
    }
  }

  /** An entry of a list or map: its fields, null where they are missing. */
  private final class EntryConverter extends GroupConverter {
    private final Converter[] fields;
    private final JsonNode[] values;
    private final Consumer<JsonNode[]> parent;

    EntryConverter(GroupType type, Consumer<JsonNode[]> parent) {
      this.parent = parent;
      values = new JsonNode[type.getFieldCount()];
      fields = new Converter[values.length];
      Arrays.setAll(fields, i -> converter(type.getType(i), found -> values[i] = found));
    }

    @Override
    public Converter getConverter(int field) {
      return fields[field];
    }

    @Override
    public void start() {
      Arrays.fill(values, counted(JSON.nullNode(), 0));
    }

    @Override
    public void end() {
      parent.accept(values);
    }
  }

  private final class ValueConverter extends PrimitiveConverter {
    private final boolean text;
    private final Consumer<JsonNode> parent;

    ValueConverter(Type type, Consumer<JsonNode> parent) {
      this.parent = parent;
      LogicalTypeAnnotation kind = type.getLogicalTypeAnnotation();
      text =
          kind instanceof LogicalTypeAnnotation.StringLogicalTypeAnnotation
              || kind instanceof LogicalTypeAnnotation.EnumLogicalTypeAnnotation
              || kind instanceof LogicalTypeAnnotation.JsonLogicalTypeAnnotation;
    }

    @Override
    public void addBinary(Binary value) {
      JsonNode node =
          text ? JSON.textNode(value.toStringUsingUTF8()) : JSON.binaryNode(value.getBytes());
      parent.accept(counted(node, value.length()));
    }

    @Override
    public void addBoolean(boolean value) {
      parent.accept(counted(JSON.booleanNode(value), 0));
    }

    @Override
    public void addDouble(double value) {
      parent.accept(counted(JSON.numberNode(value), 0));
    }

    @Override
    public void addFloat(float value) {
      parent.accept(counted(JSON.numberNode(value), 0));
    }

    @Override
    public void addInt(int value) {
      parent.accept(counted(JSON.numberNode(value), 0));
    }

    @Override
    public void addLong(long value) {
      boolean small = value == (int) value;
      parent.accept(counted(small ? JSON.numberNode((int) value) : JSON.numberNode(value), 0));
    }
  }
}
