package dev.kvshare.datasets;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.stream.Stream;

/**
 * The imported data sets: a folder for each, with the text in {@code data} and its description in
 * {@code manifest.json}.
 */
record ImportedDatasets(Path folder) {
  private static final String SCHEMA = "kvshare.dataset/1";
  private static final String DATA = "data";
  private static final String MANIFEST = "manifest.json";
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Returns all of them, sorted by name. */
  List<TextSource.Named> list() {
    if (!Files.isDirectory(folder)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(folder)) {
      return entries
          .filter(ImportedDatasets::isDataset)
          .sorted()
          .map(ImportedDatasets::read)
          .toList();
    } catch (IOException e) {
      throw failure("read", folder, e);
    }
  }

  private static boolean isDataset(Path entry) {
    return Dataset.Import.isName(entry.getFileName().toString())
        && Files.isRegularFile(entry.resolve(MANIFEST));
  }

  private static TextSource.Named read(Path entry) {
    Path file = entry.resolve(MANIFEST);
    try {
      JsonNode manifest = JSON.readTree(file.toFile());
      if (!manifest.path("schema").asText().equals(SCHEMA)) {
        throw new DatasetException(
            "The data set manifest %s has the schema %s, expected \"%s\". Import the data set again, or remove its folder."
                .formatted(file, manifest.path("schema"), SCHEMA));
      }
      Dataset dataset =
          new Dataset(
              entry.getFileName().toString(),
              manifest.path("description").asText(""),
              manifest.path("licence").textValue(),
              false,
              manifest.path("field").textValue(),
              manifest.path("sha256").asText());
      ByteSource data = ByteSource.ofFile(entry.resolve(DATA), dataset.name());
      return new TextSource.Named(dataset, TextSource.of(data, dataset.field()));
    } catch (JsonProcessingException e) {
      throw new DatasetException(
          "The data set manifest %s is not valid JSON. Import the data set again, or remove its folder."
              .formatted(file),
          e);
    } catch (IOException e) {
      throw failure("read", file, e);
    }
  }

  /** Copies a text in under its name; replaces an earlier one only if asked to. */
  void add(Dataset.Import request, byte[] content, String sha256) {
    Path target = folder.resolve(request.name());
    if (Files.exists(target) && !request.replace()) {
      throw new DatasetException(
          "There is already a data set %s in %s. Choose another name, or replace it with --force."
              .formatted(request.name(), folder));
    }
    try {
      Files.createDirectories(folder);
      Path temporary = Files.createTempDirectory(folder, ".import-");
      try {
        Files.write(temporary.resolve(DATA), content);
        Files.write(temporary.resolve(MANIFEST), manifest(request, sha256));
        if (Files.exists(target)) {
          delete(target);
        }
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
      } finally {
        if (Files.exists(temporary)) {
          delete(temporary);
        }
      }
    } catch (IOException e) {
      throw failure("write", target, e);
    }
  }

  private static byte[] manifest(Dataset.Import request, String sha256) throws IOException {
    ObjectNode manifest =
        JSON.createObjectNode()
            .put("schema", SCHEMA)
            .put("description", request.description())
            .put("licence", request.licence())
            .put("field", request.field())
            .put("sha256", sha256);
    return JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(manifest);
  }

  void remove(String name) {
    try {
      delete(folder.resolve(name));
    } catch (IOException e) {
      throw failure("remove", folder.resolve(name), e);
    }
  }

  private static void delete(Path dataset) throws IOException {
    Files.deleteIfExists(dataset.resolve(MANIFEST));
    Files.deleteIfExists(dataset.resolve(DATA));
    Files.delete(dataset);
  }

  private static DatasetException failure(String verb, Path place, IOException e) {
    return new DatasetException(
        "Cannot %s %s (%s: %s). Data sets are kept in KVSHARE_HOME/datasets, or else in ~/.cache/kvshare/datasets."
            .formatted(verb, place, e.getClass().getSimpleName(), e.getMessage()),
        e);
  }
}
