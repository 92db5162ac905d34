package dev.kvshare.datasets;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The named data sets, and the way from what a user wrote to a {@link TextSource}. */
public final class Datasets {
  /** The data set that calibration of the built-in model uses where none is named. */
  public static final String DEFAULT_CALIBRATION = "parlour-calibration";

  /** The data set that calibration of any other model uses where none is named. */
  public static final String GENERAL_CALIBRATION = "general-calibration";

  /** The data set that evaluation uses where none is named. */
  public static final String DEFAULT_EVALUATION = "parlour-evaluation";

  private static final String INDEX = "index.json";
  private static final String STANDARD_INPUT = "-";

  private static final String REMOTE = "hf://";

  private final ImportedDatasets imported;
  private final Path folder;
  private final Function<String, Path> fetch;

  /** Creates a registry of the built-in data sets and those imported into {@code folder}. */
  public Datasets(Path folder) {
    this(
        folder,
        address -> {
          throw new DatasetException(
              "The text %s is not on this machine, and nothing here fetches it. Download it, and give the file."
                  .formatted(address));
        });
  }

  private Datasets(Path folder, Function<String, Path> fetch) {
    this.folder = folder;
    this.imported = new ImportedDatasets(folder);
    this.fetch = fetch;
  }

  /**
   * The same data sets, and a way to fetch files from elsewhere.
   *
   * @param how from an address that begins with {@code hf://} to a file on this machine
   */
  public Datasets fetching(Function<String, Path> how) {
    return new Datasets(folder, how);
  }

  /** Returns the registry in {@code $KVSHARE_HOME/datasets}, else in the user's cache folder. */
  public static Datasets ofUser(Map<String, String> environment) {
    String home = environment.getOrDefault("KVSHARE_HOME", "");
    Path base =
        home.isBlank()
            ? Path.of(System.getProperty("user.home"), ".cache", "kvshare")
            : Path.of(home);
    return new Datasets(base.resolve("datasets"));
  }

  /** Returns the folder of the imported data sets, which need not exist. */
  public Path folder() {
    return folder;
  }

  /** Returns all data sets, the built-in ones first. */
  public List<Dataset> list() {
    return sources().stream().map(TextSource.Named::dataset).toList();
  }

  private List<TextSource.Named> sources() {
    return Stream.concat(builtIn().stream(), imported.list().stream()).toList();
  }

  /** Returns the data set {@code name}. */
  public TextSource.Named find(String name) {
    return sources().stream()
        .filter(source -> source.name().equals(name))
        .findFirst()
        .orElseThrow(
            () ->
                new DatasetException(
                    "There is no data set \"%s\". There are: %s. Import one with `kvshare datasets import NAME FILE`."
                        .formatted(name, names())));
  }

  /**
   * Returns the text that a user means.
   *
   * @param text {@code -} for {@code standardInput}, a file, an address {@code hf://…} of one, or
   *     the name of a data set; files ending in {@code .jsonl}, {@code .json} or {@code .parquet}
   *     are data, never plain text
   * @param field the field of JSON lines, or null for plain text and for the usual fields
   * @param standardInput read only for {@code -}
   * @throws DatasetException if there is neither such a file nor such a data set
   */
  public TextSource resolve(String text, String field, InputStream standardInput) {
    if (text.equals(STANDARD_INPUT)) {
      return TextSource.of(ByteSource.ofStream("standard input", standardInput), field);
    }
    if (text.startsWith(REMOTE) || isFile(text)) {
      ByteSource bytes = file(text);
      return isData(text) ? new TextSource.Rows(bytes, field) : TextSource.of(bytes, field);
    }
    if (list().stream().anyMatch(dataset -> dataset.name().equals(text))) {
      return find(text);
    }
    throw new DatasetException(
        "There is no text file and no data set \"%s\". Give a file, - for standard input, or one of the data sets %s."
            .formatted(text, names()));
  }

  /** Returns the bytes of a file, or of what an address {@code hf://…} stands for. */
  public ByteSource file(String file) {
    return file.startsWith(REMOTE)
        ? ByteSource.ofFile(fetch.apply(file), file)
        : ByteSource.ofFile(Path.of(file));
  }

  private static boolean isData(String file) {
    return Stream.of(".jsonl", ".ndjson", ".json", ".parquet").anyMatch(file::endsWith);
  }

  private static boolean isFile(String text) {
    try {
      Path path = Path.of(text);
      return Files.exists(path) && !Files.isDirectory(path);
    } catch (InvalidPathException e) {
      return false;
    }
  }

  private String names() {
    return list().stream().map(Dataset::name).collect(Collectors.joining(", "));
  }

  /** Copies a text into the folder of this registry, checked to be what it claims to be. */
  public Dataset importText(Dataset.Import request) {
    if (builtIn().stream().anyMatch(s -> s.name().equals(request.name()))) {
      throw new DatasetException(
          "The name %s belongs to a built-in data set. Choose another one."
              .formatted(request.name()));
    }
    if (isData(request.file().toString()) && request.field() == null) {
      throw new DatasetException(
          "The file %s holds rows of data. Name the field of text or token ids with --field."
              .formatted(request.file()));
    }
    byte[] content = ByteSource.ofFile(request.file()).read();
    Corpus corpus =
        TextSource.of(ByteSource.ofBytes(request.file().toString(), content), request.field())
            .load();
    Corpus.Summary.of(corpus);
    imported.add(request, content, corpus.sha256());
    return find(request.name()).dataset();
  }

  /** Removes an imported data set. */
  public void remove(String name) {
    if (find(name).dataset().builtIn()) {
      throw new DatasetException(
          "The data set %s comes with kvshare and cannot be removed.".formatted(name));
    }
    imported.remove(name);
  }

  /** The texts {@code builtin/NAME.txt}, in the order of {@code builtin/index.json}. */
  private static List<TextSource.Named> builtIn() {
    try {
      JsonNode index = new ObjectMapper().readTree(content(INDEX));
      return index.valueStream().map(Datasets::builtIn).toList();
    } catch (IOException e) {
      throw new UncheckedIOException("the resource builtin/" + INDEX + " is not JSON", e);
    }
  }

  private static TextSource.Named builtIn(JsonNode entry) {
    String name = entry.path("name").asText();
    byte[] content = content(name + ".txt");
    Dataset dataset =
        new Dataset(
            name,
            entry.path("description").asText(),
            entry.path("licence").asText(),
            true,
            null,
            ByteSource.sha256(content));
    return new TextSource.Named(dataset, new TextSource.Plain(ByteSource.ofBytes(name, content)));
  }

  private static byte[] content(String file) {
    try (InputStream in = Datasets.class.getResourceAsStream("builtin/" + file)) {
      if (in == null) {
        throw new IllegalStateException("the resource builtin/" + file + " is missing");
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException("the resource builtin/" + file + " cannot be read", e);
    }
  }
}
