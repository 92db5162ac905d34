package dev.kvshare.datasets;

import java.nio.file.Path;
import java.util.regex.Pattern;

/**
 * A request to keep a text under a name.
 *
 * @param name lower-case letters, digits, {@code . _ -}, starting with a letter or digit
 * @param file the text
 * @param field the field of JSON lines that holds the text or the token ids, or null for plain text
 * @param description what it is, one sentence; may be empty
 * @param licence its licence, or null
 * @param replace whether an imported data set of that name is replaced
 */
public record DatasetImport(
    String name, Path file, String field, String description, String licence, boolean replace) {
  private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9._-]{0,63}");

  /** Refuses names that are not names. */
  public DatasetImport {
    if (!isName(name)) {
      throw new DatasetException(
          "The data set name \"%s\" is not usable: use up to 64 lower-case letters, digits, '.', '_' and '-', starting with a letter or digit."
              .formatted(name));
    }
  }

  /** Returns whether {@code name} can be the name of a data set. */
  static boolean isName(String name) {
    return NAME.matcher(name).matches();
  }
}
