package dev.kvshare.apply.model.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class HubSettingsTest {
  @TempDir Path user;

  @Test
  void hasTheDefaultsOfThePythonTools() {
    HubSettings settings = HubSettings.of(Map.of(), user);
    assertEquals(URI.create("https://huggingface.co"), settings.endpoint());
    assertEquals(user.resolve(".cache/huggingface/hub"), settings.cache());
    assertNull(settings.token());
    assertFalse(settings.offline());
  }

  @Test
  void readsTheEnvironment() {
    HubSettings settings =
        HubSettings.of(
            Map.of(
                "HF_ENDPOINT", "http://mirror:8080/",
                "HF_TOKEN", " hf_x ",
                "HF_HOME", "~/models",
                "HF_HUB_OFFLINE", "1"),
            user);
    assertEquals(URI.create("http://mirror:8080"), settings.endpoint());
    assertEquals("hf_x", settings.token());
    assertEquals(user.resolve("models/hub"), settings.cache());
    assertTrue(settings.offline());
    assertFalse(settings.toString().contains("hf_x"));
  }

  @Test
  void theCacheCanBeGivenDirectly() {
    Map<String, String> environment =
        Map.of("HF_HUB_CACHE", "/data/hub", "HF_HOME", "/home", "XDG_CACHE_HOME", "/caches");
    assertEquals(Path.of("/data/hub"), HubSettings.of(environment, user).cache());
    assertEquals(
        Path.of("/caches/huggingface/hub"),
        HubSettings.of(Map.of("XDG_CACHE_HOME", "/caches"), user).cache());
  }

  @Test
  void readsTheStoredToken() throws IOException {
    Files.createDirectories(user.resolve(".cache/huggingface"));
    Files.writeString(user.resolve(".cache/huggingface/token"), "hf_stored\n");
    assertEquals("hf_stored", HubSettings.of(Map.of(), user).token());
  }

  @ParameterizedTest
  @ValueSource(strings = {"mirror", "ftp://mirror", "http://", "::"})
  void refusesAnEndpointThatIsNone(String endpoint) {
    HubException thrown =
        assertThrows(
            HubException.class, () -> HubSettings.of(Map.of("HF_ENDPOINT", endpoint), user));
    assertTrue(thrown.getMessage().contains("HF_ENDPOINT"), thrown.getMessage());
  }
}
