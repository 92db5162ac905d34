package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.CheckpointException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Collects what is wrong with one file, so that all of it is reported at once: up to {@value #CAP}
 * problems are listed, further ones only counted.
 */
public final class Problems {
  private static final int CAP = 20;

  private final Path file;
  private final List<String> listed = new ArrayList<>();
  private int count;
  private boolean corrupt;

  public Problems(Path file) {
    this.file = file;
  }

  /** A breach of the format's rules. */
  public void corrupt(String problem) {
    corrupt = true;
    add(problem);
  }

  /** Something that is legal in the format, but not computed here. */
  public void unsupported(String problem) {
    add(problem);
  }

  public boolean isEmpty() {
    return count == 0;
  }

  /**
   * Throws what was found, if anything.
   *
   * @param remedy what the user can do about a file that breaks the rules
   */
  public void throwIfAny(String remedy) {
    if (!isEmpty()) {
      throw exception(remedy);
    }
  }

  /** The exception for a problem that makes further reading pointless, with all found before it. */
  public CheckpointException stop(String problem, String remedy) {
    corrupt(problem);
    return exception(remedy);
  }

  private void add(String problem) {
    count++;
    if (listed.size() < CAP) {
      listed.add(problem);
    }
  }

  private CheckpointException exception(String remedy) {
    String more = count > listed.size() ? "\n  - and " + (count - listed.size()) + " more" : "";
    String found =
        count == 1
            ? listed.get(0) + ". "
            : "%s problems:\n  - %s%s\n".formatted(count, String.join("\n  - ", listed), more);
    return corrupt
        ? new CheckpointException.Corrupt(file + ": " + found + remedy)
        : new CheckpointException.Unsupported(
            file + ": " + found + "The model is not supported in this form.");
  }
}
