package dev.kvshare.cli.command;

import dev.kvshare.apply.model.storage.AtomicFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Checks of output files before anything is computed for them. */
final class OutputFiles {
  private OutputFiles() {}

  /**
   * Refuses to replace a file that has content.
   *
   * @param file may be null for none
   * @param option the option that names it
   */
  static void requireNew(Path file, String option) {
    if (file != null && hasContent(file)) {
      throw new CommandException(
          file
              + " exists already and would be replaced. Add --force to replace it, or choose another name with "
              + option
              + ".");
    }
  }

  /** Checks that files can be written; null stands for none. */
  static void checkWritable(Path... files) {
    for (Path file : files) {
      if (file != null) {
        AtomicFile.checkWritable(file);
      }
    }
  }

  private static boolean hasContent(Path file) {
    try {
      return Files.isRegularFile(file) && Files.size(file) > 0;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
