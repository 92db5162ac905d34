package dev.kvshare.cli.command;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.eval.EvaluationRow;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/**
 * Where a sweep keeps what it has computed: of each scheme the repaired policy with its weights,
 * and of each row what was measured but the speed.
 */
final class SweepFolder {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path folder;

  private SweepFolder(Path folder) {
    this.folder = folder;
  }

  /**
   * Opens the folder, or makes it.
   *
   * @param settings everything that decides what is kept
   * @throws CommandException if it is of a sweep with other settings
   */
  static SweepFolder open(Path folder, String settings) {
    Path file = folder.resolve("sweep.txt");
    try {
      Files.createDirectories(folder);
      if (Files.exists(file) && !Files.readString(file).strip().equals(settings)) {
        throw new CommandException(
            folder
                + " holds a sweep of another model or text, or with other options. Choose another"
                + " folder with --sweep-folder, or remove this one.");
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    AtomicFile.write(file, out -> out.write((settings + "\n").getBytes(StandardCharsets.UTF_8)));
    return new SweepFolder(folder);
  }

  /** The policy of a scheme with its repair. */
  Path policy(String scheme) {
    return folder.resolve(word(scheme) + ".json");
  }

  /** The refitted weights of that policy. */
  Path weights(String scheme) {
    return folder.resolve(word(scheme) + ".safetensors");
  }

  /** What an earlier run measured, or null. */
  EvaluationRow rowOrNull(String name) {
    Path file = row(name);
    if (!Files.isRegularFile(file)) {
      return null;
    }
    try {
      return JSON.readValue(file.toFile(), EvaluationRow.class);
    } catch (JsonProcessingException e) {
      return null;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Keeps a row; it is whole on disk when this returns. */
  void keep(String name, EvaluationRow measured) {
    AtomicFile.write(row(name), out -> out.write(JSON.writeValueAsBytes(measured)));
  }

  private Path row(String name) {
    return folder.resolve(word(name) + ".row.json");
  }

  private static String word(String name) {
    return name.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-");
  }
}
