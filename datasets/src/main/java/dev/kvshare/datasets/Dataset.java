package dev.kvshare.datasets;

import java.nio.file.Path;
import java.util.regex.Pattern;

/**
 * The description of a named data set.
 *
 * @param name lower-case letters, digits, {@code . _ -}
 * @param description what it is, one sentence
 * @param licence its licence, or null where the importer did not say
 * @param builtIn whether it comes with kvshare; else it was imported
 * @param field the field of JSON lines that holds the text or the token ids, or null for plain text
 * @param sha256 64 hexadecimal digits over its bytes
 */
public record Dataset(
    String name, String description, String licence, boolean builtIn, String field, String sha256) {
  /**
   * A request to keep the text of a file under a name; it may {@code replace} an imported data set.
   * The other components become those of the data set.
   */
  public record Import(
      String name, Path file, String field, String description, String licence, boolean replace) {
    private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9._-]{0,63}");

    public Import {
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
}
