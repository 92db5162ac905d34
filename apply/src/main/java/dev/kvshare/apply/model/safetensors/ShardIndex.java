package dev.kvshare.apply.model.safetensors;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.apply.model.storage.Problems;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * {@code model.safetensors.index.json}: {@code {"metadata": {...}, "weight_map": {TENSOR: SHARD}}}.
 */
final class ShardIndex {
  static final String NAME = "model.safetensors.index.json";

  private static final String REMEDY =
      "Download the model again, with all files that the index names.";

  private final Path file;
  private final Map<String, String> shardOfTensor = new TreeMap<>();

  private ShardIndex(Path file) {
    this.file = file;
  }

  /** Opens all shards and checks that index and shards name the same tensors. */
  static List<SafetensorsFile> open(ModelDirectory directory) {
    ShardIndex index = new ShardIndex(directory.file(NAME));
    Problems problems = new Problems(index.file);
    Set<String> shards = index.read(directory, problems);
    problems.throwIfAny(REMEDY);
    List<SafetensorsFile> files = new ArrayList<>();
    try {
      for (String shard : shards) {
        files.add(SafetensorsFile.open(directory.file(shard)));
      }
      index.compare(files, problems);
      problems.throwIfAny(REMEDY);
    } catch (RuntimeException e) {
      files.forEach(SafetensorsFile::close);
      throw e;
    }
    return files;
  }

  private Set<String> read(ModelDirectory directory, Problems problems) {
    Set<String> shards = new TreeSet<>();
    JsonNode weightMap = JsonFiles.readObject(file).path("weight_map");
    if (!(weightMap instanceof ObjectNode map) || map.isEmpty()) {
      throw problems.stop("'weight_map' is missing or empty", REMEDY);
    }
    for (Map.Entry<String, JsonNode> field : map.properties()) {
      if (!field.getValue().isTextual()) {
        problems.corrupt(
            "weight_map, '" + field.getKey() + "': " + field.getValue() + " is no file name");
        continue;
      }
      shardOfTensor.put(field.getKey(), field.getValue().textValue());
      shards.add(field.getValue().textValue());
    }
    for (String shard : shards) {
      String escape = directory.escape(shard);
      if (escape != null) {
        problems.corrupt(escape);
      } else if (!directory.has(shard)) {
        problems.corrupt("the file '" + shard + "' is missing");
      }
    }
    return shards;
  }

  private void compare(List<SafetensorsFile> files, Problems problems) {
    Map<String, Set<String>> shardsHolding = new TreeMap<>();
    for (SafetensorsFile shard : files) {
      String name = file.getParent().relativize(shard.path()).toString();
      for (String tensor : shard.tensors().keySet()) {
        shardsHolding.computeIfAbsent(tensor, t -> new TreeSet<>()).add(name);
        if (!name.equals(shardOfTensor.get(tensor))) {
          problems.corrupt(
              "'"
                  + name
                  + "' holds tensor '"
                  + tensor
                  + "', which the index "
                  + (shardOfTensor.containsKey(tensor)
                      ? "places in '" + shardOfTensor.get(tensor) + "'"
                      : "does not name"));
        }
      }
    }
    shardOfTensor.forEach(
        (tensor, shard) -> {
          if (!shardsHolding.getOrDefault(tensor, Set.of()).contains(shard)) {
            problems.corrupt("'" + shard + "' lacks tensor '" + tensor + "', placed there");
          }
        });
  }
}
