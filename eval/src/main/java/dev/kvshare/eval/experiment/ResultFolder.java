package dev.kvshare.eval.experiment;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.quality.EvaluationException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Where an experiment keeps what it made and measured: of each trial {@code NAME.json} and {@code
 * NAME.safetensors}, the policy with its refitted weights, and {@code NAME.results.json}, what was
 * measured of it. {@code experiment.txt} says what all of it depends on.
 */
final class ResultFolder implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path folder;
  private final boolean temporary;

  /**
   * What is kept of a trial.
   *
   * @param policy digest of the policy that was measured; results of another one are not taken
   * @param searchSeconds what its search took
   * @param repairSeconds what its repair took
   * @param measured the rows by what they were measured on
   */
  record Results(
      String policy, double searchSeconds, double repairSeconds, Map<String, List<Row>> measured) {
    /** The same with rows more. */
    Results with(String key, List<Row> rows) {
      Map<String, List<Row>> all = new TreeMap<>(measured);
      all.put(key, rows);
      return new Results(policy, searchSeconds, repairSeconds, all);
    }
  }

  private ResultFolder(Path folder, boolean temporary) {
    this.folder = folder;
    this.temporary = temporary;
  }

  /**
   * Opens the folder, or makes it.
   *
   * @param key lines that say what everything in it depends on
   * @throws EvaluationException if it is of another experiment
   */
  static ResultFolder open(Path folder, List<String> key) {
    Path file = folder.resolve("experiment.txt");
    List<String> found;
    try {
      Files.createDirectories(folder);
      found = Files.exists(file) ? Files.readAllLines(file) : key;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    if (!found.equals(key)) {
      List<String> there = found.stream().filter(line -> !key.contains(line)).toList();
      List<String> here = key.stream().filter(line -> !found.contains(line)).toList();
      throw new EvaluationException(
          "%s holds results of another experiment: it was made with \"%s\", and this one has \"%s\". Choose another folder, or remove this one."
              .formatted(folder, String.join("; ", there), String.join("; ", here)));
    }
    String text = String.join("\n", key) + "\n";
    AtomicFile.write(file, out -> out.write(text.getBytes(StandardCharsets.UTF_8)));
    return new ResultFolder(folder, false);
  }

  /** A folder that is gone when it is closed. */
  static ResultFolder temporary() {
    try {
      return new ResultFolder(Files.createTempDirectory("kvshare-experiment"), true);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The policy of a trial. */
  Path policy(String trial) {
    return file(trial, ".json");
  }

  /** What an earlier run kept, or null where it kept nothing or was killed within a write. */
  Results resultsOrNull(String trial) {
    Path file = file(trial, ".results.json");
    if (!Files.isRegularFile(file)) {
      return null;
    }
    try {
      return JSON.readValue(file.toFile(), Results.class);
    } catch (JsonProcessingException e) {
      return null;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Keeps results; they are whole on disk when this returns. */
  void keep(String trial, Results results) {
    AtomicFile.write(
        file(trial, ".results.json"), out -> out.write(JSON.writeValueAsBytes(results)));
  }

  private Path file(String trial, String ending) {
    String word = trial.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-");
    return folder.resolve(word + ending);
  }

  @Override
  public void close() {
    if (temporary) {
      try (Stream<Path> files = Files.walk(folder)) {
        for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(file);
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }
}
