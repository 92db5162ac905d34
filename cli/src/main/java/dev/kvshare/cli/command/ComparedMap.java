package dev.kvshare.cli.command;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.model.storage.AtomicFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * One map of a comparison with everything that was measured of it.
 *
 * @param settings what the comparison was asked for; a file of another one is not taken
 * @param method the strategy, without its seed
 * @param size layers that were to share
 * @param sharedLayers layers that share
 * @param searchSeconds what the search took
 * @param repairSeconds what the repair took
 * @param texts what was measured on each text, in the order of the command line
 */
public record ComparedMap(
    String settings,
    String method,
    int size,
    int sharedLayers,
    double searchSeconds,
    double repairSeconds,
    List<OnText> texts) {
  private static final ObjectMapper JSON = new ObjectMapper();

  /**
   * Measurements on one text.
   *
   * @param text its name
   * @param unshared perplexity of the unshared model
   * @param plain ratio of the map's perplexity to it
   * @param plainError its standard error
   * @param repaired the same of the repaired map
   * @param repairedError its standard error
   */
  public record OnText(
      String text,
      double unshared,
      double plain,
      double plainError,
      double repaired,
      double repairedError) {}

  /** What an earlier run wrote, or null where it did not or measured something else. */
  public static ComparedMap readOrNull(Path file, String settings) {
    if (!Files.isRegularFile(file)) {
      return null;
    }
    try {
      ComparedMap found = JSON.readValue(file.toFile(), ComparedMap.class);
      return found.settings().equals(settings) ? found : null;
    } catch (JsonProcessingException e) {
      return null;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Whole on disk when this returns. */
  public void write(Path file) {
    AtomicFile.write(file, out -> out.write(JSON.writeValueAsBytes(this)));
  }
}
