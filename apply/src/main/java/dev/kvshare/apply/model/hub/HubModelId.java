package dev.kvshare.apply.model.hub;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A model on the hub: {@code org/name}, {@code org/name@revision}, and for one of several GGUF
 * files {@code org/name/file.gguf}, also with a revision.
 *
 * @param repository {@code org/name}
 * @param file a file of the repository; null for the whole model
 * @param revision a branch, tag or commit
 */
public record HubModelId(String repository, String file, String revision) {
  private static final String PART = "[A-Za-z0-9][A-Za-z0-9._-]{0,95}";
  private static final Pattern ID =
      Pattern.compile(
          "(?<repository>%s/%s)(?:/(?<file>[A-Za-z0-9][A-Za-z0-9._-]*\\.gguf))?(?:@(?<revision>[A-Za-z0-9][A-Za-z0-9._/-]{0,199}))?"
              .formatted(PART, PART));

  private static final String DEFAULT_REVISION = "main";

  /** Reads an id; empty when the text is none. */
  public static Optional<HubModelId> parse(String text) {
    Matcher matcher = ID.matcher(text);
    if (!matcher.matches() || text.contains("..") || text.contains("--")) {
      return Optional.empty();
    }
    String revision = matcher.group("revision");
    return Optional.of(
        new HubModelId(
            matcher.group("repository"),
            matcher.group("file"),
            revision == null ? DEFAULT_REVISION : revision));
  }

  @Override
  public String toString() {
    return repository
        + (file == null ? "" : "/" + file)
        + (revision.equals(DEFAULT_REVISION) ? "" : "@" + revision);
  }
}
