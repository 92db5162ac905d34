package dev.kvshare.apply.model.safetensors;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.apply.model.storage.MappedCheckpoint;
import dev.kvshare.apply.model.storage.ModelFile;
import dev.kvshare.apply.model.storage.Problems;
import dev.kvshare.apply.model.storage.StoredTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.UserPrincipal;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A Hugging Face model directory: {@code config.json}, weights in {@code model.safetensors} or in
 * shards named by {@code model.safetensors.index.json}, and usually {@code tokenizer.json}.
 */
public final class SafetensorsDirectory {
  private static final String CONFIG = "config.json";
  private static final String SINGLE = "model.safetensors";
  private static final String TOKENIZER = "tokenizer.json";

  /** Formats that unpickle, that is run, what the file says. */
  private static final Pattern PICKLE =
      Pattern.compile(".*\\.(bin|pt|pth|pkl|pickle|ckpt)(\\.index\\.json)?");

  /** What models without a head store; families with names of their own are not among them. */
  private static final Pattern BASE_TENSOR =
      Pattern.compile(
          "(embed_tokens|tok_embeddings|embed_in|layers\\.\\d+|norm|final_layer_norm|rotary_emb)\\..*");

  private SafetensorsDirectory() {}

  /** Opens a directory. */
  public static Checkpoint open(Path path) {
    ModelDirectory directory = ModelDirectory.of(path);
    if (!directory.has(CONFIG)) {
      throw new CheckpointException(
          "%s: there is no %s. A Hugging Face model directory has %s and %s; give its path, or the path of a .gguf file."
              .formatted(path, CONFIG, CONFIG, SINGLE));
    }
    Path configFile = directory.file(CONFIG);
    ModelConfig config = new ModelConfig(configFile, JsonFiles.readObject(configFile));
    TokenizerSource tokenizer = tokenizer(directory);
    List<SafetensorsFile> files = weights(directory);
    List<StoredTensor> tensors =
        files.stream().flatMap(file -> file.tensors().values().stream()).toList();
    return new MappedCheckpoint(path, config, tokenizer, withPrefix(config, tensors));
  }

  /** Names of a model that was saved without its head, as they are with one. */
  private static List<StoredTensor> withPrefix(ModelConfig config, List<StoredTensor> tensors) {
    String type = config.string("model_type", "");
    String prefix = type.equals("gpt_neox") ? "gpt_neox." : "model.";
    if (type.equals("gpt2")
        || type.equals("opt")
        || tensors.stream().anyMatch(tensor -> tensor.info().name().startsWith(prefix))) {
      return tensors;
    }
    return tensors.stream()
        .map(
            tensor ->
                BASE_TENSOR.matcher(tensor.info().name()).matches()
                    ? tensor.named(prefix + tensor.info().name())
                    : tensor)
        .toList();
  }

  private static List<SafetensorsFile> weights(ModelDirectory directory) {
    if (directory.has(SINGLE)) {
      return List.of(SafetensorsFile.open(directory.file(SINGLE)));
    }
    if (directory.has(ShardIndex.NAME)) {
      return ShardIndex.open(directory);
    }
    List<String> pickles =
        directory.names().stream().filter(name -> PICKLE.matcher(name).matches()).toList();
    if (!pickles.isEmpty()) {
      throw new CheckpointException.Unsupported(
          "%s: the weights are only there as %s. Such files are not loaded, because opening one can run any code in it. Convert the model to safetensors (save_pretrained of transformers does), or download a version with %s."
              .formatted(directory.path(), String.join(", ", pickles), SINGLE));
    }
    throw new CheckpointException(
        "%s: there is neither %s nor %s among %s. Download the weights of the model into this directory."
            .formatted(directory.path(), SINGLE, ShardIndex.NAME, directory.names()));
  }

  private static TokenizerSource tokenizer(ModelDirectory directory) {
    if (!directory.has(TOKENIZER)) {
      return new TokenizerSource.None(directory.path());
    }
    directory.file(TOKENIZER);
    return new TokenizerSource.TokenizerFile(directory.path());
  }

  /**
   * {@code model.safetensors.index.json}: {@code {"metadata": {...}, "weight_map": {TENSOR:
   * SHARD}}}.
   */
  private record ShardIndex(Path file, Map<String, String> shardOfTensor, Problems problems) {
    static final String NAME = "model.safetensors.index.json";

    private static final String REMEDY =
        "Download the model again, with all files that the index names.";

    /** Opens all shards and checks that index and shards name the same tensors. */
    static List<SafetensorsFile> open(ModelDirectory directory) {
      Path file = directory.file(NAME);
      Problems problems = new Problems(file);
      ShardIndex index = new ShardIndex(file, new TreeMap<>(), problems);
      Set<String> shards = index.read(directory);
      problems.throwIfAny(REMEDY);
      List<SafetensorsFile> files = new ArrayList<>();
      try {
        for (String shard : shards) {
          files.add(SafetensorsFile.open(directory.file(shard)));
        }
        index.compare(files);
        problems.throwIfAny(REMEDY);
      } catch (RuntimeException e) {
        files.forEach(SafetensorsFile::close);
        throw e;
      }
      return files;
    }

    private Set<String> read(ModelDirectory directory) {
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

    private void compare(List<SafetensorsFile> files) {
      Map<String, Set<String>> shardsHolding = new TreeMap<>();
      for (SafetensorsFile shard : files) {
        String name = file.getParent().relativize(shard.path()).toString();
        for (String tensor : shard.tensors().keySet()) {
          shardsHolding.computeIfAbsent(tensor, t -> new TreeSet<>()).add(name);
          if (!name.equals(shardOfTensor.get(tensor))) {
            problems.corrupt(
                "'%s' holds tensor '%s', which the index %s"
                    .formatted(
                        name,
                        tensor,
                        shardOfTensor.containsKey(tensor)
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

  /**
   * A model's directory, from which no file name leads out. A link may point inside the directory,
   * where the directory is a snapshot in the Hugging Face cache ({@code
   * models--ORG--NAME/snapshots/REVISION}) inside that repository's folder, whose {@code blobs}
   * hold the files, and anywhere else if link and target belong to the user of this process.
   */
  private record ModelDirectory(Path path, Path realRoot) {
    static ModelDirectory of(Path path) {
      try {
        return new ModelDirectory(path, cacheRepository(path.toRealPath()));
      } catch (IOException e) {
        throw ModelFile.failure(path, e);
      }
    }

    boolean has(String name) {
      return Files.exists(path.resolve(name));
    }

    /** Names of the entries, sorted. */
    List<String> names() {
      try (Stream<Path> entries = Files.list(path)) {
        return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
      } catch (IOException e) {
        throw ModelFile.failure(path, e);
      }
    }

    /** A file of the directory, which the name must not lead out of. */
    Path file(String name) {
      String problem = escape(name);
      if (problem != null) {
        throw new CheckpointException.Corrupt(
            "%s: %s. A model's files must lie in its directory. Copy the file there, or get the model from a source that you trust."
                .formatted(path, problem));
      }
      return path.resolve(name);
    }

    /** How a name leads out of the directory, or null when it does not. */
    String escape(String name) {
      Path resolved;
      try {
        resolved = path.resolve(name).normalize();
      } catch (InvalidPathException e) {
        return "the file name '" + name + "' is not valid";
      }
      Path base = path.normalize();
      if (!resolved.startsWith(base) || resolved.equals(base)) {
        return "the file name '" + name + "' leads out of the directory, to " + resolved;
      }
      try {
        if (Files.exists(resolved)) {
          Path real = resolved.toRealPath();
          if (!real.startsWith(realRoot) && !ownedByUser(resolved, real)) {
            return "'%s' is a link that leads out of the directory, to %s, and the two do not both belong to you"
                .formatted(name, real);
          }
        }
      } catch (IOException e) {
        throw ModelFile.failure(resolved, e);
      }
      return null;
    }

    private static boolean ownedByUser(Path link, Path target) throws IOException {
      UserPrincipal user = user();
      return user.equals(Files.getOwner(link, LinkOption.NOFOLLOW_LINKS))
          && user.equals(Files.getOwner(target));
    }

    private static UserPrincipal user() throws IOException {
      Path process = Path.of("/proc/self");
      return Files.exists(process)
          ? Files.getOwner(process)
          : process
              .getFileSystem()
              .getUserPrincipalLookupService()
              .lookupPrincipalByName(System.getProperty("user.name"));
    }

    /** The folder of the cached repository that holds this snapshot, else the directory itself. */
    private static Path cacheRepository(Path real) {
      for (Path folder = real; folder != null; folder = folder.getParent()) {
        Path parent = folder.getParent();
        Path repository = parent == null ? null : parent.getParent();
        if (repository != null
            && repository.getFileName() != null
            && parent.endsWith("snapshots")
            && repository.getFileName().toString().startsWith("models--")) {
          return repository;
        }
      }
      return real;
    }
  }
}
