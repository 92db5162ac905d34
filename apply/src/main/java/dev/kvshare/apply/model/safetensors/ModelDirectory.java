package dev.kvshare.apply.model.safetensors;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.CorruptCheckpointException;
import dev.kvshare.apply.model.storage.ModelFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * A model's directory, from which no file name leads out. A link may only point inside the
 * directory or, where the directory is a snapshot in the Hugging Face cache ({@code
 * models--ORG--NAME/snapshots/REVISION}), inside that repository's folder, whose {@code blobs} hold
 * the files.
 */
final class ModelDirectory {
  private final Path directory;
  private final Path realRoot;

  ModelDirectory(Path directory) {
    this.directory = directory;
    try {
      Path real = directory.toRealPath();
      this.realRoot = cacheRepository(real);
    } catch (IOException e) {
      throw ModelFile.failure(directory, e);
    }
  }

  Path path() {
    return directory;
  }

  boolean has(String name) {
    return Files.exists(directory.resolve(name));
  }

  /** Names of the entries, sorted. */
  List<String> names() {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
    } catch (IOException e) {
      throw ModelFile.failure(directory, e);
    }
  }

  /**
   * A file of the directory.
   *
   * @throws CheckpointException when the name leads out of the directory
   */
  Path file(String name) {
    String problem = escape(name);
    if (problem != null) {
      throw new CorruptCheckpointException(
          directory
              + ": "
              + problem
              + ". A model's files must lie in its directory. Copy the file there, or get the model"
              + " from a source that you trust.");
    }
    return directory.resolve(name);
  }

  /** How a name leads out of the directory, or null when it does not. */
  String escape(String name) {
    Path resolved;
    try {
      resolved = directory.resolve(name).normalize();
    } catch (InvalidPathException e) {
      return "the file name '" + name + "' is not valid";
    }
    Path base = directory.normalize();
    if (!resolved.startsWith(base) || resolved.equals(base)) {
      return "the file name '" + name + "' leads out of the directory, to " + resolved;
    }
    try {
      if (Files.exists(resolved)) {
        Path real = resolved.toRealPath();
        if (!real.startsWith(realRoot)) {
          return "'" + name + "' is a link that leads out of the directory, to " + real;
        }
      }
    } catch (IOException e) {
      throw ModelFile.failure(resolved, e);
    }
    return null;
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
