package dev.kvshare.datasets;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;

/** The texts that come with kvshare: {@code builtin/NAME.txt}, described in {@code index.json}. */
final class BuiltInDatasets {
  private static final String INDEX = "index.json";

  private BuiltInDatasets() {}

  /** Returns all of them, in the order of the index. */
  static List<TextSource.Named> list() {
    List<TextSource.Named> datasets = new ArrayList<>();
    for (JsonNode entry : index()) {
      String name = entry.path("name").asText();
      byte[] content = content(name + ".txt");
      Dataset dataset =
          new Dataset(
              name,
              entry.path("description").asText(),
              entry.path("licence").asText(),
              true,
              null,
              Digests.sha256(content));
      datasets.add(
          new TextSource.Named(dataset, new TextSource.Plain(ByteSource.ofBytes(name, content))));
    }
    return datasets;
  }

  private static JsonNode index() {
    try {
      return new ObjectMapper().readTree(content(INDEX));
    } catch (IOException e) {
      throw new UncheckedIOException("the resource builtin/" + INDEX + " is not JSON", e);
    }
  }

  private static byte[] content(String file) {
    try (InputStream in = BuiltInDatasets.class.getResourceAsStream("builtin/" + file)) {
      if (in == null) {
        throw new IllegalStateException("the resource builtin/" + file + " is missing");
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException("the resource builtin/" + file + " cannot be read", e);
    }
  }
}
