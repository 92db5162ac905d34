package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;

import dev.kvshare.cli.command.ExitCodes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models named by their hub id, with the hub switched off: only the cache can answer. */
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
  void aModelThatIsNotInTheCacheIsRefused() {
    CommandRun.inEnvironment(offline(), "eval", "--model", "someone/else")
        .fails(ExitCodes.FAILED, "someone/else", "HF_HUB_OFFLINE", "path of a local model");
  }
}
