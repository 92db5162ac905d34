package dev.kvshare.apply.model.hub;

import dev.kvshare.apply.model.storage.ModelFile;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * Where models and data sets come from and where they are kept.
 *
 * @param endpoint the hub
 * @param token sent to the endpoint and to no other host; null for none
 * @param cache the folder of {@code models--ORG--NAME} and {@code datasets--ORG--NAME}
 * @param offline use the cache only
 */
public record HubSettings(URI endpoint, String token, Path cache, boolean offline) {
  private static final String DEFAULT_ENDPOINT = "https://huggingface.co";
  private static final Set<String> TRUE = Set.of("1", "on", "yes", "true");

  public HubSettings {
    String scheme = endpoint.getScheme();
    if (endpoint.getHost() == null || !("http".equals(scheme) || "https".equals(scheme))) {
      throw noEndpoint(endpoint, null);
    }
  }

  /**
   * Reads the variables that the hub's Python tools read: {@code HF_ENDPOINT}, {@code HF_TOKEN}
   * (else the file that they store it in), {@code HF_HUB_CACHE}, {@code HF_HOME}, {@code
   * XDG_CACHE_HOME} and {@code HF_HUB_OFFLINE}.
   *
   * @param userHome the user's home folder
   */
  public static HubSettings of(Map<String, String> environment, Path userHome) {
    String caches = environment.getOrDefault("XDG_CACHE_HOME", "");
    Path home = caches.isEmpty() ? userHome.resolve(".cache") : Path.of(caches);
    home = path(environment, "HF_HOME", home.resolve("huggingface"), userHome);
    Path cache = path(environment, "HF_HUB_CACHE", home.resolve("hub"), userHome);
    String endpoint = environment.getOrDefault("HF_ENDPOINT", "");
    String offline = environment.getOrDefault("HF_HUB_OFFLINE", "").toLowerCase(Locale.ROOT);
    return new HubSettings(
        endpoint(endpoint.isEmpty() ? DEFAULT_ENDPOINT : endpoint),
        token(environment, home),
        cache,
        TRUE.contains(offline));
  }

  @Override
  public String toString() {
    return "HubSettings[endpoint=%s, token=%s, cache=%s, offline=%s]"
        .formatted(endpoint, token == null ? "none" : "given", cache, offline);
  }

  private static URI endpoint(String text) {
    try {
      return URI.create(text.replaceAll("/+$", ""));
    } catch (IllegalArgumentException e) {
      throw noEndpoint(text, e);
    }
  }

  private static HubException noEndpoint(Object endpoint, Throwable cause) {
    return new HubException(
        "HF_ENDPOINT is '%s', but must be like %s.".formatted(endpoint, DEFAULT_ENDPOINT), cause);
  }

  private static Path path(
      Map<String, String> environment, String variable, Path absent, Path userHome) {
    String value = environment.getOrDefault(variable, "");
    if (value.isEmpty()) {
      return absent;
    }
    return value.equals("~") || value.startsWith("~/")
        ? userHome.resolve(value.substring(Math.min(2, value.length())))
        : Path.of(value);
  }

  private static String token(Map<String, String> environment, Path home) {
    String token = environment.getOrDefault("HF_TOKEN", "").strip();
    Path file = home.resolve("token");
    if (token.isEmpty() && Files.isRegularFile(file)) {
      try {
        token = Files.readString(file).strip();
      } catch (IOException e) {
        throw ModelFile.failure(file, e);
      }
    }
    return token.isEmpty() ? null : token;
  }
}
