package dev.kvshare.datasets;

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
    String name,
    String description,
    String licence,
    boolean builtIn,
    String field,
    String sha256) {}
