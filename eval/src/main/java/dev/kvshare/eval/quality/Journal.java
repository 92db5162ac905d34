package dev.kvshare.eval.quality;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.storage.JsonFiles;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Supplier;

/**
 * What was measured so far, on disk, so that a killed run goes on. UTF-8 JSON lines: the first says
 * what everything depends on, each other one has a {@code name} and its {@code value}. A last line
 * without its line feed was cut off by the kill and is dropped.
 */
public final class Journal {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path file;
  private final Map<String, JsonNode> values = new HashMap<>();

  private Journal(Path file) {
    this.file = file;
  }

  /** A journal in memory. */
  public static Journal none() {
    return new Journal(null);
  }

  /**
   * Begins a journal, or goes on with one.
   *
   * @param settings what all values depend on; a journal of others is refused
   */
  public static Journal open(Path file, ObjectNode settings) {
    Journal journal = new Journal(file);
    try {
      String text = Files.exists(file) ? Files.readString(file, StandardCharsets.UTF_8) : "";
      int end = text.lastIndexOf('\n') + 1;
      if (end == 0) {
        Files.write(file, new byte[0]);
        journal.append(settings);
        return journal;
      }
      String[] lines = text.substring(0, end).split("\n", 0);
      if (!lines[0].equals(settings.toString())) {
        throw new EvaluationException(
            "%s is the journal of another evaluation: it was begun with %s, and this one has %s. Choose another file, or remove this one."
                .formatted(file, lines[0], settings));
      }
      for (String line : Arrays.asList(lines).subList(1, lines.length)) {
        JsonNode entry = JsonFiles.parse(line);
        journal.values.put(entry.path("name").asText(), entry.path("value"));
      }
      Files.write(file, text.substring(0, end).getBytes(StandardCharsets.UTF_8));
      return journal;
    } catch (JsonFiles.MalformedException e) {
      throw new EvaluationException(
          "%s is damaged (%s). Remove it to begin anew.".formatted(file, e.getMessage()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * A value of an earlier run, else what is measured now, which is on disk when this returns.
   *
   * @param measure gives something that Jackson can write
   */
  public JsonNode get(String name, Supplier<?> measure) {
    JsonNode found = values.get(name);
    if (found == null) {
      found = JSON.valueToTree(measure.get());
      values.put(name, found);
      if (file != null) {
        append(JSON.createObjectNode().put("name", name).set("value", found));
      }
    }
    return found;
  }

  private void append(JsonNode line) {
    try {
      Files.write(
          file,
          (line + "\n").getBytes(StandardCharsets.UTF_8),
          StandardOpenOption.APPEND,
          StandardOpenOption.SYNC);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
