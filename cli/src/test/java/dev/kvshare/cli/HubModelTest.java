package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;

import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models and data named as on the hub, which is switched off: only the cache can answer. */
class HubModelTest {
  private static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";

  @TempDir Path home;

  private Map<String, String> offline() {
    return Map.of("HF_HOME", home.toString(), "HF_HUB_OFFLINE", "1");
  }

  @Test
  void aModelInTheCacheIsUsedByItsName() throws IOException {
    Path repository = home.resolve("hub/models--someone--tiny");
    Path snapshot = Files.createDirectories(repository.resolve("snapshots/" + COMMIT));
    Files.createDirectories(repository.resolve("refs"));
    Files.writeString(repository.resolve("refs/main"), COMMIT);
    for (String name : new String[] {"config.json", "model.safetensors"}) {
      Files.copy(TINY_MODEL.resolve(name), snapshot.resolve(name));
    }

    CommandRun.inEnvironment(offline(), "inspect", "someone/tiny").succeeds().prints("llama");
    CommandRun.inEnvironment(
            offline(),
            "apply",
            "--model",
            "someone/tiny@" + COMMIT,
            "--prompt-ids",
            "5,7,9",
            "--print-ids",
            "--max-tokens",
            2)
        .succeeds()
        .prints(",");
  }

  @Test
  void aFileOfADataSetInTheCacheIsReadByItsName() throws IOException {
    Path repository = home.resolve("hub/datasets--someone--books");
    Path data = Files.createDirectories(repository.resolve("snapshots/" + COMMIT + "/data"));
    Files.createDirectories(repository.resolve("refs"));
    Files.writeString(repository.resolve("refs/main"), COMMIT);
    Path parquet = Path.of("datasets/src/test/resources/parquet/text.parquet");
    Files.copy(
        Path.of(System.getProperty("kvshare.root")).resolve(parquet), data.resolve("test.parquet"));
    String file = "hf://datasets/someone/books/data/test.parquet";

    CommandRun.inEnvironment(
            offline(),
            "eval",
            "--model",
            TINY_MODEL,
            "--text",
            file,
            "--field",
            "input_ids",
            "--passage-tokens",
            2,
            "--no-speed")
        .succeeds()
        .prints(file + ": 2 passages of 2 tokens");
    CommandRun.inEnvironment(
            offline(), "eval", "--model", TINY_MODEL, "--task", file.replace("test", "train"))
        .fails(ExitCodes.FAILED, "data/train.parquet: not in the cache", "path of a local file");
  }

  @Test
  void aModelThatIsNotInTheCacheIsRefused() {
    CommandRun.inEnvironment(offline(), "eval", "--model", "someone/else")
        .fails(ExitCodes.FAILED, "someone/else", "HF_HUB_OFFLINE", "path of a local model");
  }
}
