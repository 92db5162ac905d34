package dev.kvshare.apply.model.hub;

import dev.kvshare.apply.model.hub.ModelLocator.HubId;
import dev.kvshare.apply.model.storage.ModelFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * The folder of one repository in the cache, laid out as the hub's Python tools do:
 *
 * <pre>
 * models--ORG--NAME/refs/REVISION             the commit, as text
 * models--ORG--NAME/blobs/ETAG                a file's content
 * models--ORG--NAME/blobs/ETAG.incomplete     what has been received of it
 * models--ORG--NAME/snapshots/COMMIT/FILE     a link to the blob, or a copy where links are impossible
 * </pre>
 *
 * The folder of a data set is {@code datasets--ORG--NAME}.
 */
final class HubCache {
  private static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40}");

  private final Path folder;

  HubCache(Path cache, HubId id) {
    String repository = id.repository().replace("/", "--");
    this.folder = cache.resolve((id.isData() ? "datasets--" : "models--") + repository);
  }

  static boolean isCommit(String text) {
    return COMMIT.matcher(text).matches();
  }

  Path blob(String etag) {
    return folder.resolve("blobs").resolve(etag);
  }

  Path incomplete(String etag) {
    return folder.resolve("blobs").resolve(etag + ".incomplete");
  }

  Path snapshot(String commit) {
    return folder.resolve("snapshots").resolve(commit);
  }

  /** The snapshot that a revision stood for when it was last fetched. */
  Optional<Path> cached(String revision) {
    try {
      Path reference = folder.resolve("refs").resolve(revision);
      String commit =
          Files.isRegularFile(reference) ? Files.readString(reference).strip() : revision;
      Path snapshot = snapshot(commit);
      return isCommit(commit) && Files.isDirectory(snapshot)
          ? Optional.of(snapshot)
          : Optional.empty();
    } catch (IOException e) {
      throw ModelFile.failure(folder, e);
    }
  }

  /** Makes the folders that files are written to. */
  void prepare(String commit) {
    try {
      Files.createDirectories(folder.resolve("blobs"));
      Files.createDirectories(snapshot(commit));
    } catch (IOException e) {
      throw unwritable(e);
    }
  }

  /** Makes a complete blob appear in a snapshot. */
  void link(String commit, String file, String etag) {
    Path link = snapshot(commit).resolve(file);
    Path blob = blob(etag);
    try {
      if (Files.exists(link) && Files.isSameFile(link, blob)) {
        return;
      }
      Files.createDirectories(link.getParent());
      Path temporary = link.resolveSibling("." + link.getFileName() + "." + UUID.randomUUID());
      try {
        try {
          Files.createSymbolicLink(temporary, link.getParent().relativize(blob));
        } catch (UnsupportedOperationException | IOException e) {
          Files.copy(blob, temporary);
        }
        Files.move(temporary, link, StandardCopyOption.REPLACE_EXISTING);
      } finally {
        Files.deleteIfExists(temporary);
      }
    } catch (IOException e) {
      throw unwritable(e);
    }
  }

  /** Remembers which commit a branch or tag stands for. */
  void remember(String revision, String commit) {
    if (isCommit(revision)) {
      return;
    }
    Path reference = folder.resolve("refs").resolve(revision);
    try {
      Files.createDirectories(reference.getParent());
      Path temporary = Files.createTempFile(reference.getParent(), ".ref", null);
      Files.write(temporary, commit.getBytes(StandardCharsets.US_ASCII));
      Files.move(temporary, reference, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      throw unwritable(e);
    }
  }

  /** Bytes free where the cache is. */
  long usableSpace() {
    try {
      return Files.getFileStore(folder).getUsableSpace();
    } catch (IOException e) {
      throw unwritable(e);
    }
  }

  HubException unwritable(IOException cause) {
    return new HubException(
        "%s: the cache cannot be written (%s). Make room or get permission there, or set HF_HOME to another folder."
            .formatted(folder, cause),
        cause);
  }
}
