package dev.kvshare.datasets;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;

/**
 * Reads one field of rows of data: strings as paragraphs, or arrays of integers as token ids. The
 * entries of an array may be these themselves.
 */
final class JsonTextReader {
  private static final List<String> USUAL_FIELDS = List.of("text", "input_ids", "token_ids");

  private final List<String> texts = new ArrayList<>();
  private final List<int[]> sequences = new ArrayList<>();
  private String field;

  private JsonTextReader(String field) {
    this.field = field;
  }

  static Corpus read(String name, byte[] content, String field) {
    JsonTextReader reader = new JsonTextReader(field);
    JsonRows data = JsonRows.read(name, content);
    data.rows().forEach(reader::add);
    if (reader.texts.isEmpty() && reader.sequences.isEmpty()) {
      throw new DatasetException(
          "The data %s hold nothing in the field %s: every row is blank or its value is empty."
              .formatted(name, reader.field));
    }
    return reader.sequences.isEmpty()
        ? new Corpus.Text(name, data.sha256(), String.join("\n\n", reader.texts), reader.texts)
        : new Corpus.Tokens(name, data.sha256(), reader.sequences);
  }

  private void add(JsonRows.Row row) {
    JsonNode value = row.value();
    if (value.isObject()) {
      if (field == null) {
        field = usualField(row);
      }
      row.refuseTwice(field.startsWith("/") ? field.substring(1).replaceFirst("/.*", "") : field);
      value = field.startsWith("/") ? value.at(field) : value.path(field);
    }
    if (value.isTextual() && sequences.isEmpty()) {
      if (!value.textValue().isBlank()) {
        texts.add(value.textValue());
      }
    } else if (value.isArray() && texts.isEmpty()) {
      if (!value.isEmpty()) {
        sequences.add(tokenIds(value, row.where()));
      }
    } else if (row.value().isObject()) {
      throw new DatasetException(
          "%s has %s in the field %s, expected %s. Its fields are %s; name another one with --field."
              .formatted(row.where(), JsonRows.describe(value), field, expected(), row.fields()));
    } else {
      throw new DatasetException(
          "%s is %s, expected %s.".formatted(row.where(), JsonRows.describe(value), expected()));
    }
  }

  private String expected() {
    if (!sequences.isEmpty()) {
      return "an array of token ids like the rows before";
    }
    return texts.isEmpty() ? "a string or an array of token ids" : "a string like the rows before";
  }

  private static String usualField(JsonRows.Row row) {
    return USUAL_FIELDS.stream()
        .filter(row.value()::has)
        .findFirst()
        .orElseThrow(
            () ->
                new DatasetException(
                    "%s has none of the fields %s. Its fields are %s; name one with --field."
                        .formatted(row.where(), String.join(", ", USUAL_FIELDS), row.fields())));
  }

  private int[] tokenIds(JsonNode array, String where) {
    int[] ids = new int[array.size()];
    for (int i = 0; i < ids.length; i++) {
      JsonNode id = array.get(i);
      if (!id.isInt() || id.intValue() < 0) {
        throw new DatasetException(
            "%s has %s at index %d%s, expected a token id (an integer from 0)."
                .formatted(where, id, i, field == null ? "" : " of the field " + field));
      }
      ids[i] = id.intValue();
    }
    return ids;
  }
}
