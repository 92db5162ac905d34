package dev.kvshare.datasets;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Rows of data: JSON lines, one object a line, the entries of one JSON array, or the rows of a
 * Parquet file.
 *
 * @param name the file, for messages
 * @param sha256 64 hexadecimal digits over its bytes
 * @param rows in the order of the file; blank lines are none
 */
public record JsonRows(String name, String sha256, List<Row> rows) {
  private static final JsonMapper JSON =
      JsonMapper.builder()
          // Python's json module writes NaN and infinite numbers in this form.
          .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  /**
   * One of them.
   *
   * @param where such as {@code Line 3 of items.jsonl}, for messages
   * @param value an object; in an array it may be anything
   * @param line the line that it was read from, empty where there are no lines
   */
  public record Row(String where, JsonNode value, String line) {
    /** The names of its fields, for messages. */
    public String fields() {
      String names =
          value.propertyStream().map(Map.Entry::getKey).limit(20).collect(Collectors.joining(", "));
      return names.isEmpty() ? "none" : names;
    }

    /**
     * Which of two values is meant nobody can tell; of other fields the last one is passed over.
     */
    void refuseTwice(String key) {
      int found = 0;
      try (JsonParser parser = JSON.createParser(line)) {
        parser.nextToken();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
          found += parser.currentName().equals(key) ? 1 : 0;
          parser.nextToken();
          parser.skipChildren();
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      if (found > 1) {
        throw new DatasetException(
            "%s has the field %s twice. Leave one of them out.".formatted(where, key));
      }
    }
  }

  /**
   * Reads all rows.
   *
   * @throws DatasetException if the file is missing, empty or damaged
   */
  public static JsonRows read(ByteSource source) {
    return read(source.name(), source.read());
  }

  static JsonRows read(String name, byte[] content) {
    if (ParquetRows.is(content)) {
      return new JsonRows(name, ByteSource.sha256(content), ParquetRows.read(name, content));
    }
    String text = PlainText.decode(content, name);
    List<Row> rows = new ArrayList<>();
    if (text.stripLeading().startsWith("[")) {
      ObjectReader strict = JSON.reader().with(StreamReadFeature.STRICT_DUPLICATE_DETECTION);
      for (JsonNode value : parse(strict, text, "The file " + name, "one array")) {
        rows.add(new Row("Entry %d of %s".formatted(rows.size() + 1, name), value, ""));
      }
    } else {
      int line = 0;
      for (String row : text.lines().toList()) {
        String where = "Line %d of %s".formatted(++line, name);
        if (!row.isBlank()) {
          JsonNode value =
              parse(JSON.reader(), row, where, "a JSON object in each line, or one array in all");
          if (!value.isObject()) {
            throw new DatasetException(
                "%s is %s, expected a JSON object.".formatted(where, describe(value)));
          }
          rows.add(new Row(where, value, row));
        }
      }
    }
    return new JsonRows(name, ByteSource.sha256(content), rows);
  }

  private static JsonNode parse(ObjectReader reader, String json, String where, String expected) {
    try {
      return reader.readTree(json);
    } catch (JsonProcessingException e) {
      JsonLocation at = e.getLocation() == null ? JsonLocation.NA : e.getLocation();
      throw new DatasetException(
          "%s is not valid JSON from %scolumn %d on. Expected: %s."
              .formatted(
                  where,
                  at.getLineNr() > 1 ? "line %d, ".formatted(at.getLineNr()) : "",
                  at.getColumnNr(),
                  expected),
          e);
    }
  }

  /** The kind of a value in words. */
  static String describe(JsonNode value) {
    return switch (value.getNodeType()) {
      case MISSING -> "nothing";
      case STRING -> "a string";
      case ARRAY -> "an array";
      case OBJECT -> "an object";
      case NUMBER -> "a number";
      default -> value.toString();
    };
  }
}
