package dev.kvshare.datasets;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Reads one field of JSON lines: strings as paragraphs, or arrays of integers as token ids. */
final class JsonLinesReader {
  private static final List<String> USUAL_FIELDS = List.of("text", "input_ids", "token_ids");

  private static final JsonMapper JSON =
      JsonMapper.builder()
          // Python's json module writes NaN and infinite numbers in this form.
          .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private final String name;
  private final List<String> texts = new ArrayList<>();
  private final List<int[]> sequences = new ArrayList<>();
  private String field;

  private JsonLinesReader(String name, String field) {
    this.name = name;
    this.field = field;
  }

  static Corpus read(String name, byte[] content, String field) {
    JsonLinesReader reader = new JsonLinesReader(name, field);
    List<String> lines = PlainText.decode(content, name).lines().toList();
    for (int i = 0; i < lines.size(); i++) {
      if (!lines.get(i).isBlank()) {
        reader.add(lines.get(i), i + 1);
      }
    }
    return reader.corpus(ByteSource.sha256(content));
  }

  private Corpus corpus(String sha256) {
    if (texts.isEmpty() && sequences.isEmpty()) {
      throw new DatasetException(
          "The JSON lines %s hold nothing in the field %s: every line is blank or its value is empty."
              .formatted(name, field));
    }
    return sequences.isEmpty()
        ? new Corpus.Text(name, sha256, String.join("\n\n", texts), texts)
        : new Corpus.Tokens(name, sha256, sequences);
  }

  private void add(String text, int line) {
    JsonNode object = parse(text, line);
    if (field == null) {
      field = usualField(object, line);
    }
    refuseTwice(text, line);
    JsonNode value = field.startsWith("/") ? object.at(field) : object.path(field);
    if (value.isTextual() && sequences.isEmpty()) {
      if (!value.textValue().isBlank()) {
        texts.add(value.textValue());
      }
    } else if (value.isArray() && texts.isEmpty()) {
      if (!value.isEmpty()) {
        sequences.add(tokenIds(value, line));
      }
    } else {
      throw new DatasetException(
          "Line %d of %s has %s in the field %s, expected %s. Its fields are %s; name another one with --field."
              .formatted(line, name, describe(value), field, expected(), fields(object)));
    }
  }

  /** Which of two values is meant nobody can tell; of other fields the last one is passed over. */
  private void refuseTwice(String text, int line) {
    String key = field.startsWith("/") ? field.substring(1).replaceFirst("/.*", "") : field;
    int found = 0;
    try (JsonParser parser = JSON.createParser(text)) {
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
          "Line %d of %s has the field %s twice. Leave one of them out."
              .formatted(line, name, key));
    }
  }

  private String expected() {
    if (!sequences.isEmpty()) {
      return "an array of token ids like the lines before";
    }
    return texts.isEmpty() ? "a string or an array of token ids" : "a string like the lines before";
  }

  private JsonNode parse(String text, int line) {
    try {
      JsonNode node = JSON.readTree(text);
      if (!node.isObject()) {
        throw new DatasetException(
            "Line %d of %s is %s, expected a JSON object with a field of text."
                .formatted(line, name, describe(node)));
      }
      return node;
    } catch (JsonProcessingException e) {
      throw new DatasetException(
          "Line %d of %s is not valid JSON from column %d on. Each line must be one JSON object."
              .formatted(line, name, e.getLocation() == null ? 1 : e.getLocation().getColumnNr()),
          e);
    }
  }

  private String usualField(JsonNode object, int line) {
    return USUAL_FIELDS.stream()
        .filter(object::has)
        .findFirst()
        .orElseThrow(
            () ->
                new DatasetException(
                    "Line %d of %s has none of the fields %s. Its fields are %s; name one with --field."
                        .formatted(line, name, String.join(", ", USUAL_FIELDS), fields(object))));
  }

  private int[] tokenIds(JsonNode array, int line) {
    int[] ids = new int[array.size()];
    for (int i = 0; i < ids.length; i++) {
      JsonNode id = array.get(i);
      if (!id.isInt() || id.intValue() < 0) {
        throw new DatasetException(
            "Line %d of %s has %s at index %d of the field %s, expected a token id (an integer from 0)."
                .formatted(line, name, id, i, field));
      }
      ids[i] = id.intValue();
    }
    return ids;
  }

  private static String describe(JsonNode value) {
    return switch (value.getNodeType()) {
      case MISSING -> "nothing";
      case STRING -> "a string";
      case ARRAY -> "an array";
      case OBJECT -> "an object";
      case NUMBER -> "a number";
      default -> value.toString();
    };
  }

  private static String fields(JsonNode object) {
    String names =
        object.propertyStream().map(Map.Entry::getKey).limit(20).collect(Collectors.joining(", "));
    return names.isEmpty() ? "none" : names;
  }
}
