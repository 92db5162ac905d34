package dev.kvshare.apply.model.hub;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.hub.ModelLocator.DownloadListener;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ModelLocatorTest {
  private static final String WEIGHTS = "model.safetensors";
  private static final String GET_LARGE = "GET /large/model.safetensors";

  @TempDir Path folder;
  private final FakeHub hub = new FakeHub();
  private final List<Duration> pauses = new CopyOnWriteArrayList<>();
  private final AtomicLong received = new AtomicLong();
  private final List<String> usedCache = new CopyOnWriteArrayList<>();

  private final DownloadListener listener =
      new DownloadListener() {
        @Override
        public void received(long bytes) {
          received.addAndGet(bytes);
        }

        @Override
        public void usingCache(String reason) {
          usedCache.add(reason);
        }
      };

  @BeforeEach
  void fillHub() {
    byte[] weights = new byte[700_000];
    new Random(3).nextBytes(weights);
    hub.file("config.json", "{\"model_type\": \"llama\"}").file("tokenizer.json", "{}");
    hub.file(WEIGHTS, weights).file("README.md", "read me").file("pytorch_model.bin", "pickle");
  }

  @AfterEach
  void stop() {
    hub.close();
  }

  @Test
  void localPathsStayLocal() {
    assertEquals(folder, ModelLocator.locate(folder.toString(), settings(), listener));
    assertTrue(hub.requests.isEmpty());
  }

  @Test
  void fetchesTheNeededFilesIntoTheLayoutOfTheCache() throws IOException {
    Path snapshot = locate("org/name");
    Path repository = folder.resolve("hub/models--org--name");
    assertEquals(repository.resolve("snapshots").resolve(FakeHub.COMMIT), snapshot);
    assertEquals(FakeHub.COMMIT, Files.readString(repository.resolve("refs/main")));
    assertEquals(List.of("config.json", WEIGHTS, "tokenizer.json"), names(snapshot));
    assertArrayEquals(hub.content(WEIGHTS), Files.readAllBytes(snapshot.resolve(WEIGHTS)));
    assertEquals(
        Path.of("../../blobs").resolve(FakeHub.sha256(hub.content(WEIGHTS))),
        Files.readSymbolicLink(snapshot.resolve(WEIGHTS)));
    assertEquals(
        Path.of("../../blobs").resolve(FakeHub.gitHash(hub.content("config.json"))),
        Files.readSymbolicLink(snapshot.resolve("config.json")));
    assertEquals(3, names(repository.resolve("blobs")).size());
  }

  @Test
  void fetchesNothingTwice() {
    locate("org/name");
    hub.requests.clear();
    locate("org/name@main");
    assertTrue(hub.requests.stream().noneMatch(r -> r.contains("GET /large")), "" + hub.requests);
  }

  @Test
  void takesABranchOrCommit() throws IOException {
    locate("org/name@pr/1");
    assertTrue(hub.requests.contains("hub " + FakeHub.api("pr/1")), "" + hub.requests);
    Path reference = folder.resolve("hub/models--org--name/refs/pr/1");
    assertEquals(FakeHub.COMMIT, Files.readString(reference));
    locate("org/name@" + FakeHub.COMMIT);
    assertFalse(Files.exists(reference.resolveSibling(FakeHub.COMMIT)));
  }

  @Test
  void aGgufIsTakenWhereThereAreNoSafetensors() throws IOException {
    try (FakeHub other = new FakeHub().file("small.gguf", "GGUF").file("config.json", "{}")) {
      Path file = locate("org/name", settings(other.endpoint(), null, false));
      assertEquals("small.gguf", file.getFileName().toString());
      assertEquals("GGUF", Files.readString(file));
      other.file("large.gguf", "GGUF");
      String several = refused("org/name", settings(other.endpoint(), null, false));
      assertTrue(several.contains("org/name/large.gguf"), several);
      Path named = locate("org/name/large.gguf", settings(other.endpoint(), null, false));
      assertEquals("large.gguf", named.getFileName().toString());
    }
  }

  @Test
  void pickledWeightsAreNotFetched() {
    try (FakeHub other = new FakeHub().file("pytorch_model.bin", "x").file("config.json", "{}")) {
      String message = refused("org/name", settings(other.endpoint(), null, false));
      assertTrue(message.contains("pytorch_model.bin") && message.contains("any code"), message);
    }
  }

  @Test
  void aBrokenTransferGoesOnWhereItStopped() throws IOException {
    hub.when(
        GET_LARGE,
        FakeHub.once(
            exchange -> {
              FakeHub.breakOff(exchange, hub.content(WEIGHTS), 300_000);
              return true;
            }));
    Path snapshot = locate("org/name");
    assertArrayEquals(hub.content(WEIGHTS), Files.readAllBytes(snapshot.resolve(WEIGHTS)));
    String resumed = "store " + GET_LARGE + " bytes=";
    assertTrue(hub.requests.stream().anyMatch(r -> r.startsWith(resumed)), "" + hub.requests);
  }

  @Test
  void anInterruptedRunIsResumed() throws IOException {
    byte[] weights = hub.content(WEIGHTS);
    Path blobs = Files.createDirectories(folder.resolve("hub/models--org--name/blobs"));
    Path incomplete = blobs.resolve(FakeHub.sha256(weights) + ".incomplete");
    Files.write(incomplete, Arrays.copyOf(weights, 650_000));
    Path snapshot = locate("org/name");
    assertArrayEquals(weights, Files.readAllBytes(snapshot.resolve(WEIGHTS)));
    assertTrue(hub.requests.contains("store " + GET_LARGE + " bytes=650000-"), "" + hub.requests);
    assertFalse(Files.exists(incomplete));
  }

  @Test
  void aServerWithoutRangesSendsAllAgain() throws IOException {
    byte[] weights = hub.content(WEIGHTS);
    Path blobs = Files.createDirectories(folder.resolve("hub/models--org--name/blobs"));
    Files.write(
        blobs.resolve(FakeHub.sha256(weights) + ".incomplete"), Arrays.copyOf(weights, 1000));
    hub.when(
        GET_LARGE,
        exchange -> {
          FakeHub.send(exchange, weights, null);
          return true;
        });
    Path snapshot = locate("org/name");
    assertArrayEquals(weights, Files.readAllBytes(snapshot.resolve(WEIGHTS)));
  }

  @Test
  void aChangedFileIsNoticedByItsHash() throws IOException {
    byte[] other = hub.content(WEIGHTS);
    other[5]++;
    hub.when(
        GET_LARGE,
        exchange -> {
          FakeHub.send(exchange, other, null);
          return true;
        });
    String message = refused("org/name", settings());
    assertTrue(message.contains("changed while it was received"), message);
    assertTrue(message.contains(FakeHub.sha256(other)), message);
    hub.behave();
    assertTrue(Files.exists(locate("org/name").resolve(WEIGHTS)));
  }

  @Test
  void aChangedSmallFileIsNoticedByItsHash() {
    hub.when(
        FakeHub.resolve("GET", "config.json"),
        exchange -> {
          FakeHub.send(
              exchange, "{\"model_type\": \"evil!\"}".getBytes(StandardCharsets.UTF_8), null);
          return true;
        });
    String message = refused("org/name", settings());
    assertTrue(message.contains("config.json") && message.contains("its hash is"), message);
  }

  @Test
  void aChangedFileIsNoticedByItsSize() {
    hub.when(
        GET_LARGE,
        exchange -> {
          FakeHub.send(exchange, new byte[12], null);
          return true;
        });
    String message = refused("org/name", settings());
    assertTrue(message.contains("'12' where 700000 bytes are expected"), message);
  }

  @Test
  void theTokenGoesToTheHubOnly() {
    locate("org/name", settings(hub.endpoint(), FakeHub.TOKEN, false));
    assertTrue(hub.authorised.contains("hub /org/name/resolve/" + FakeHub.COMMIT + "/config.json"));
    assertTrue(hub.requests.contains("store " + GET_LARGE));
    assertTrue(hub.authorised.stream().noneMatch(r -> r.startsWith("store")), "" + hub.authorised);
  }

  @Test
  void aRenamedRepositoryIsFollowed() {
    hub.when(
        FakeHub.resolve("HEAD", "config.json"),
        FakeHub.status(307, "Location", "/new/name/config.json"));
    assertTrue(Files.exists(locate("org/name").resolve("config.json")));
  }

  @Test
  void endlessRedirectsEnd() {
    hub.when(
        FakeHub.api("main"), FakeHub.status(302, "Location", "/api/models/org/name/revision/main"));
    assertTrue(refused("org/name", settings()).contains("redirects more than 5 times"));
  }

  @ParameterizedTest
  @CsvSource({
    "401, HF_TOKEN",
    "403, Accept the model's terms",
    "404, there is no such model",
    "418, not understood"
  })
  void refusalsAreExplained(int status, String fragment) {
    hub.when(FakeHub.api("main"), FakeHub.status(status));
    String message = refused("org/name", settings());
    assertTrue(message.contains("HTTP " + status) && message.contains(fragment), message);
    assertTrue(pauses.isEmpty());
  }

  @Test
  void aRefusedTokenIsNamed() {
    hub.when(FakeHub.api("main"), FakeHub.status(401));
    String message = refused("org/name", settings(hub.endpoint(), "wrong", false));
    assertTrue(message.contains("does not accept the token"), message);
    assertFalse(message.contains("wrong"), message);
  }

  @Test
  void aBusyHubIsAskedAgainWhenItSays() {
    hub.when(FakeHub.api("main"), FakeHub.once(FakeHub.status(429, "Retry-After", "7")));
    locate("org/name");
    assertEquals(List.of(Duration.ofSeconds(7)), pauses);
  }

  @Test
  void aHubThatStaysBusyIsGivenUp() {
    hub.when(FakeHub.api("main"), FakeHub.status(429, "Retry-After", "2"));
    String message = refused("org/name", settings());
    assertTrue(message.contains("HTTP 429") && message.contains("Retry-After: 2"), message);
    assertEquals(4, pauses.size());
  }

  @Test
  void anHourIsNotWaited() {
    hub.when(FakeHub.api("main"), FakeHub.status(429, "Retry-After", "3600"));
    assertTrue(refused("org/name", settings()).contains("Retry-After: 3600"));
    assertTrue(pauses.isEmpty());
  }

  @Test
  void aFailingHubIsAskedAgain() {
    hub.when(FakeHub.resolve("HEAD", "config.json"), FakeHub.once(FakeHub.status(503)));
    locate("org/name");
    assertEquals(List.of(Duration.ofSeconds(1)), pauses);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{}",
        "not json",
        "{\"sha\": \"../../x\", \"siblings\": [{\"rfilename\": \"config.json\"}]}"
      })
  void anAnswerThatIsNoHubsIsRefused(String body) {
    hub.when(
        FakeHub.api("main"),
        exchange -> {
          FakeHub.send(exchange, body.getBytes(StandardCharsets.UTF_8), null);
          return true;
        });
    assertTrue(refused("org/name", settings()).contains("Check that HF_ENDPOINT is a hub"));
  }

  @Test
  void anUnusableHashIsRefused() {
    hub.when(
        FakeHub.resolve("HEAD", "config.json"),
        FakeHub.status(200, "ETag", "\"../../evil\"", "Content-Length", "3"));
    assertTrue(refused("org/name", settings()).contains("no usable hash"));
  }

  @Test
  void offlineOnlyTheCacheIsUsed() {
    HubSettings offline = settings(hub.endpoint(), null, true);
    assertTrue(refused("org/name", offline).contains("HF_HUB_OFFLINE"));
    assertTrue(hub.requests.isEmpty());
    Path snapshot = locate("org/name");
    hub.requests.clear();
    assertEquals(snapshot, locate("org/name", offline));
    assertEquals(snapshot, locate("org/name@" + FakeHub.COMMIT, offline));
    assertTrue(hub.requests.isEmpty());
  }

  @Test
  void whenTheHubCannotBeReachedTheCacheIsUsed() {
    Path snapshot = locate("org/name");
    hub.close();
    assertEquals(snapshot, locate("org/name"));
    assertEquals(1, usedCache.size());
    String message = refused("org/other", settings());
    assertTrue(message.contains("cannot be reached"), message);
  }

  @Test
  void aFileOfADataSetIsFetchedIntoTheLayoutOfTheCache() throws IOException {
    hub.file("data/test-0.parquet", "PAR1").file("data/more/items.jsonl", "{}");
    String converted = "hf://datasets/org/name@refs/convert/parquet/data/test-0.parquet";

    Path file = ModelLocator.locateData(converted, settings(), listener);
    Path lines =
        ModelLocator.locateData(
            "hf://datasets/org/name/data/more/items.jsonl", settings(), listener);

    Path repository = folder.resolve("hub/datasets--org--name");
    Path snapshot = repository.resolve("snapshots").resolve(FakeHub.COMMIT);
    assertEquals(snapshot.resolve("data/test-0.parquet"), file);
    assertEquals("PAR1", Files.readString(file));
    assertEquals("{}", Files.readString(lines));
    assertEquals(FakeHub.COMMIT, Files.readString(repository.resolve("refs/refs/convert/parquet")));
    assertTrue(
        hub.requests.contains("hub GET /api/datasets/org/name/revision/refs/convert/parquet"),
        "" + hub.requests);
    hub.close();
    assertEquals(
        file,
        ModelLocator.locateData(
            converted.replace("refs/convert/parquet", "~parquet"), settings(), listener));
    assertEquals(1, usedCache.size());
  }

  @Test
  void aDataSetWithoutTheFileTellsWhichItHas() {
    hub.file("data/test-0.parquet", "PAR1");
    assertEquals(
        "hf://datasets/org/name/test.parquet: the repository has no file test.parquet; its data files are [config.json, data/test-0.parquet, tokenizer.json].",
        refusedData("hf://datasets/org/name/test.parquet"));
    hub.when("GET /api/datasets/org/name/revision/main", FakeHub.status(401));
    assertTrue(
        refusedData("hf://datasets/org/name/test.parquet").contains("the data set does not exist"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "hf://datasets/org/name",
        "hf://datasets/name/test.parquet",
        "hf://models/org/name/x.parquet",
        "hf://datasets/org/name/../../x",
        "hf://datasets/org/name//etc/passwd",
        "hf://datasets/org/name/.hidden/x"
      })
  void whatIsNoFileOfADataSetIsNotAskedFor(String file) {
    assertTrue(refusedData(file).contains("Write hf://datasets/org/name/path"), refusedData(file));
    assertTrue(hub.requests.isEmpty());
  }

  private String refusedData(String file) {
    return assertThrows(
            HubException.class, () -> ModelLocator.locateData(file, settings(), listener))
        .getMessage();
  }

  @ParameterizedTest
  @ValueSource(strings = {"no/such/folder", "nowhere", "../x/y", "org/na..me", "model.gguf", ""})
  void whatIsNoNameIsNotAskedFor(String model) {
    CheckpointException thrown =
        assertThrows(
            CheckpointException.class,
            () ->
                ModelLocator.locate(
                    model.isEmpty() ? "\0" : model, settings(), DownloadListener.SILENT));
    assertTrue(thrown.getMessage().contains("no such file or directory"), thrown.getMessage());
    assertTrue(hub.requests.isEmpty());
  }

  @Test
  void downloadsInOneProcessWaitForEachOther() throws Exception {
    hub.when(
        GET_LARGE,
        exchange -> {
          LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(300));
          return false;
        });
    Path repository = folder.resolve("hub/models--org--name");
    Path snapshot = repository.resolve("snapshots").resolve(FakeHub.COMMIT);
    ExecutorService threads = Executors.newFixedThreadPool(3);
    try {
      Callable<Path> download = () -> locate("org/name");
      for (Future<Path> found : threads.invokeAll(Collections.nCopies(3, download))) {
        assertEquals(snapshot, found.get());
      }
    } finally {
      threads.shutdown();
    }
    assertEquals(1, Collections.frequency(hub.requests, "store " + GET_LARGE));
    assertArrayEquals(hub.content(WEIGHTS), Files.readAllBytes(snapshot.resolve(WEIGHTS)));
    assertEquals(List.of("config.json", WEIGHTS, "tokenizer.json"), names(snapshot));
    assertTrue(Files.isSymbolicLink(snapshot.resolve(WEIGHTS)));
    assertEquals(3, names(repository.resolve("blobs")).size());
  }

  private Path locate(String model) {
    return locate(model, settings());
  }

  private Path locate(String model, HubSettings settings) {
    return ModelLocator.locate(model, settings, listener, pauses::add);
  }

  private String refused(String model, HubSettings settings) {
    return assertThrows(HubException.class, () -> locate(model, settings)).getMessage();
  }

  private HubSettings settings() {
    return settings(hub.endpoint(), null, false);
  }

  private HubSettings settings(URI endpoint, String token, boolean offline) {
    return new HubSettings(endpoint, token, folder.resolve("hub"), offline);
  }

  private static List<String> names(Path folder) throws IOException {
    try (var entries = Files.list(folder)) {
      return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
    }
  }
}
