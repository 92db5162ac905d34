package dev.kvshare.apply.model.hub;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.hub.HubRepository.FileSelection;
import dev.kvshare.apply.model.hub.HubRepository.HubFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Finds a model by what a user calls it: the path of a directory or GGUF file, or a name on the
 * hub, whose files are then fetched into the cache. Single files of data sets as well.
 */
public final class ModelLocator {
  private static final int PARALLEL_DOWNLOADS = 4;

  private final HubClient client;

  private ModelLocator(HubClient client) {
    this.client = client;
  }

  /** Finds the local directory or file of a path or {@code org/name[/file.gguf][@revision]}. */
  public static Path locate(String model, HubSettings settings, DownloadListener listener) {
    return locate(model, settings, listener, pause -> Thread.sleep(pause.toMillis()));
  }

  /**
   * Fetches a file of a data set, unless it is in the cache.
   *
   * @param file {@code hf://datasets/org/name[@revision]/path}
   */
  public static Path locateData(String file, HubSettings settings, DownloadListener listener) {
    HubId id =
        HubId.parseData(file)
            .orElseThrow(
                () ->
                    new HubException(
                        "%s: no file of a data set. Write hf://datasets/org/name/path, with @revision behind the name where it is not main, for example hf://datasets/org/name@refs/convert/parquet/default/test/0000.parquet."
                            .formatted(file)));
    HubClient client = new HubClient(settings, listener, pause -> Thread.sleep(pause.toMillis()));
    return new ModelLocator(client).fetch(id);
  }

  static Path locate(
      String model, HubSettings settings, DownloadListener listener, HubClient.Sleeper sleeper) {
    Path path = path(model);
    if (path != null && Files.exists(path)) {
      return path;
    }
    HubId id =
        HubId.parse(model)
            .orElseThrow(
                () ->
                    new CheckpointException(
                        "%s: there is no such file or directory, and it is no name on the hub either. Give a directory with config.json and *.safetensors, a .gguf file, or a name like org/name or org/name@revision."
                            .formatted(model)));
    return new ModelLocator(new HubClient(settings, listener, sleeper)).fetch(id);
  }

  private static Path path(String model) {
    try {
      return Path.of(model);
    } catch (InvalidPathException e) {
      return null;
    }
  }

  private Path fetch(HubId id) {
    HubCache cache = new HubCache(client.settings().cache(), id);
    if (client.settings().offline()) {
      return cached(id, cache)
          .orElseThrow(
              () ->
                  new HubException(
                      "%s: not in the cache %s, and HF_HUB_OFFLINE forbids to fetch it. Unset HF_HUB_OFFLINE, or give the path of a local %s."
                          .formatted(
                              id, client.settings().cache(), id.isData() ? "file" : "model")));
    }
    try {
      return download(id, cache);
    } catch (IOException e) {
      HubException unreachable = HubException.unreachable(id, client.settings(), e);
      Path path = cached(id, cache).orElseThrow(() -> unreachable);
      client.listener().usingCache(unreachable.getMessage());
      return path;
    }
  }

  private static Optional<Path> cached(HubId id, HubCache cache) {
    return cache
        .cached(id.revision())
        .map(snapshot -> id.file() == null ? content(snapshot) : snapshot.resolve(id.file()))
        .filter(Files::exists);
  }

  /** A snapshot of nothing but one GGUF file stands for that file. */
  private static Path content(Path snapshot) {
    String[] files = snapshot.toFile().list((folder, name) -> !name.startsWith("."));
    boolean single = files != null && files.length == 1 && files[0].endsWith(".gguf");
    return single ? snapshot.resolve(files[0]) : snapshot;
  }

  private Path download(HubId id, HubCache cache) throws IOException {
    HubRepository repository = new HubRepository(id, client);
    HubRepository.Revision revision = repository.revision();
    String commit = revision.commit();
    FileSelection selection = FileSelection.of(id, revision.files());
    cache.prepare(commit);
    List<HubFile> files =
        parallel(
            selection.files().stream()
                .map(name -> (Callable<HubFile>) () -> repository.describe(commit, name))
                .toList());
    Map<String, HubFile> missing = new LinkedHashMap<>();
    for (HubFile file : files) {
      if (!Files.exists(cache.blob(file.etag()))) {
        missing.put(file.etag(), file);
      }
    }
    if (!missing.isEmpty()) {
      announce(id, missing.values(), cache);
    }
    parallel(
        missing.values().stream()
            .map(file -> new FileDownload(id, file, client, cache))
            .map(download -> (Callable<Boolean>) download::run)
            .toList());
    files.forEach(file -> cache.link(commit, file.name(), file.etag()));
    cache.remember(id.revision(), commit);
    Path snapshot = cache.snapshot(commit);
    return selection.single() == null ? snapshot : snapshot.resolve(selection.single());
  }

  /** Tells what is to come and checks that there is room for it. */
  private void announce(HubId id, Collection<HubFile> missing, HubCache cache) throws IOException {
    long bytes = 0;
    for (HubFile file : missing) {
      Path incomplete = cache.incomplete(file.etag());
      bytes += file.size() - (Files.exists(incomplete) ? Files.size(incomplete) : 0);
    }
    if (bytes > cache.usableSpace()) {
      throw new HubException(
          "%s: %s bytes are to be fetched, but only %s are free at %s. Make room, or set HF_HOME to another folder."
              .formatted(id, bytes, cache.usableSpace(), client.settings().cache()));
    }
    client.listener().starting(id, missing.size(), bytes);
  }

  private static <T> List<T> parallel(List<Callable<T>> tasks) throws IOException {
    ExecutorService executor =
        Executors.newFixedThreadPool(PARALLEL_DOWNLOADS, FileDownload.daemons("kvshare-download"));
    try {
      List<Future<T>> futures = new ArrayList<>();
      tasks.forEach(task -> futures.add(executor.submit(task)));
      List<T> results = new ArrayList<>();
      for (Future<T> future : futures) {
        results.add(future.get());
      }
      return results;
    } catch (ExecutionException e) {
      if (e.getCause() instanceof IOException broken) {
        throw broken;
      }
      if (e.getCause() instanceof CheckpointException refused) {
        throw refused;
      }
      throw new IllegalStateException(e.getCause());
    } catch (InterruptedException e) {
      throw HubException.interrupted(e);
    } finally {
      executor.shutdownNow();
    }
  }

  /** Hears how a download goes on. Called from several threads. */
  public interface DownloadListener {
    /** Hears nothing. */
    DownloadListener SILENT = new DownloadListener() {};

    /** The download starts; {@code bytes} are still to be received. */
    default void starting(HubId id, int files, long bytes) {}

    /** More bytes have been received. */
    default void received(long bytes) {}

    /** A request is repeated after a pause. */
    default void waiting(String reason, Duration pause) {}

    /** The hub cannot be reached, so the copy in the cache is used. */
    default void usingCache(String reason) {}
  }

  /**
   * A model on the hub: {@code org/name}, {@code org/name@revision}, and for one of several GGUF
   * files {@code org/name/file.gguf}, also with a revision. Or a file of a data set, written as the
   * hub's Python tools do: {@code hf://datasets/org/name[@revision]/path}.
   *
   * @param isData whether it is a data set
   * @param repository {@code org/name}
   * @param file a file of the repository; null for the whole model
   * @param revision a branch, tag or commit
   */
  public record HubId(boolean isData, String repository, String file, String revision) {
    /** How the name of a file of a data set begins. */
    public static final String DATA = "hf://datasets/";

    private static final String PART = "[A-Za-z0-9][A-Za-z0-9._-]{0,95}";
    private static final Pattern ID =
        Pattern.compile(
            "(?<repository>%s/%s)(?:/(?<file>[A-Za-z0-9][A-Za-z0-9._-]*\\.gguf))?(?:@(?<revision>[A-Za-z0-9][A-Za-z0-9._/-]{0,199}))?"
                .formatted(PART, PART));

    /** Of revisions with a slash only those that the hub makes itself can be told from the path. */
    private static final Pattern DATA_ID =
        Pattern.compile(
            "%s(?<repository>%s/%s)(?:@(?<revision>refs/convert/[A-Za-z0-9_-]+|refs/pr/[0-9]+|~parquet|%s))?/(?<file>[A-Za-z0-9_][A-Za-z0-9._=+-]*(?:/[A-Za-z0-9_][A-Za-z0-9._=+-]*)*)"
                .formatted(DATA, PART, PART, PART));

    private static final String DEFAULT_REVISION = "main";
    private static final String CONVERTED = "refs/convert/parquet";

    /** Reads the name of a model; empty when the text is none. */
    public static Optional<HubId> parse(String text) {
      return parse(ID, false, text);
    }

    /** Reads the name of a file of a data set; empty when the text is none. */
    public static Optional<HubId> parseData(String text) {
      return parse(DATA_ID, true, text);
    }

    private static Optional<HubId> parse(Pattern pattern, boolean isData, String text) {
      Matcher matcher = pattern.matcher(text);
      if (!matcher.matches() || text.contains("..") || matcher.group("repository").contains("--")) {
        return Optional.empty();
      }
      String revision = matcher.group("revision");
      revision = "~parquet".equals(revision) ? CONVERTED : revision;
      return Optional.of(
          new HubId(
              isData,
              matcher.group("repository"),
              matcher.group("file"),
              revision == null ? DEFAULT_REVISION : revision));
    }

    /** Where it is below the endpoint. */
    String path() {
      return (isData ? "/datasets/" : "/") + repository;
    }

    /** Where its description is below {@code /api}. */
    String apiPath() {
      return (isData ? "/datasets/" : "/models/") + repository;
    }

    @Override
    public String toString() {
      String at = revision.equals(DEFAULT_REVISION) ? "" : "@" + revision;
      String path = file == null ? "" : "/" + file;
      return isData ? DATA + repository + at + path : repository + path + at;
    }
  }
}
