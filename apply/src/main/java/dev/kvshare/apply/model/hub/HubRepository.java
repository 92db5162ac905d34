package dev.kvshare.apply.model.hub;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.apply.model.hub.ModelLocator.HubId;
import dev.kvshare.apply.model.storage.JsonFiles;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * What the hub knows of a model or data set: its commit, its files, and each file's hash and size.
 */
record HubRepository(HubId id, HubClient client) {
  private static final Pattern ETAG = Pattern.compile("[A-Za-z0-9_-]{8,128}");

  /** A revision and the names of all its files. */
  record Revision(String commit, List<String> files) {}

  /** Finds the commit of the revision and its files. */
  Revision revision() throws IOException {
    String name = URLEncoder.encode(id.revision(), StandardCharsets.UTF_8).replace("+", "%20");
    URI address = client.address("/api" + id.apiPath() + "/revision/" + name);
    HttpResponse<String> response =
        client.send("GET", address, false, request -> {}, BodyHandlers.ofString());
    if (response.statusCode() != 200) {
      throw HubException.of(id, "the description", client.settings(), response);
    }
    JsonNode description = parse(address, response.body());
    String commit = description.path("sha").asText();
    List<String> files = new ArrayList<>();
    description.path("siblings").forEach(file -> files.add(file.path("rfilename").asText()));
    if (!HubCache.isCommit(commit) || files.isEmpty()) {
      throw new HubException(
          "%s: the answer names no commit ('sha') or no files ('siblings'). Check that HF_ENDPOINT is a hub."
              .formatted(address));
    }
    return new Revision(commit, files);
  }

  /** Asks for hash and size of a file, which large files have at the place they are stored. */
  HubFile describe(String commit, String name) throws IOException {
    URI address = client.address(id.path() + "/resolve/" + commit + "/" + name);
    HttpResponse<Void> response =
        client.send(
            "HEAD",
            address,
            false,
            request -> request.header("Accept-Encoding", "identity"),
            BodyHandlers.discarding());
    boolean elsewhere = HubClient.isRedirect(response.statusCode());
    if (response.statusCode() != 200 && !elsewhere) {
      throw HubException.of(id, "file " + name, client.settings(), response);
    }
    String etag = header(response, "X-Linked-Etag", "ETag");
    etag = etag == null ? "" : etag.replaceAll("^W/", "").replace("\"", "");
    String size = header(response, "X-Linked-Size", elsewhere ? "X-Linked-Size" : "Content-Length");
    if (!ETAG.matcher(etag).matches() || size == null || !size.matches("\\d{1,18}")) {
      throw new HubException(
          "%s: the answer has no usable hash (ETag '%s') or size ('%s'), so that the file could not be checked. Use another HF_ENDPOINT."
              .formatted(address, etag, size));
    }
    return new HubFile(name, etag, Long.parseLong(size), address);
  }

  private static JsonNode parse(URI address, String body) {
    try {
      return JsonFiles.readValue(JsonFiles.parser(body));
    } catch (JsonProcessingException e) {
      throw new HubException(
          address + ": " + JsonFiles.describe(e, body, 0) + ". Check that HF_ENDPOINT is a hub.",
          e);
    } catch (IOException e) {
      throw new HubException(address + ": the answer cannot be read (" + e + ").", e);
    }
  }

  private static String header(HttpResponse<?> response, String first, String second) {
    return response
        .headers()
        .firstValue(first)
        .or(() -> response.headers().firstValue(second))
        .orElse(null);
  }

  /** A file of a repository at one commit; the hub and the cache know its content by the etag. */
  record HubFile(String name, String etag, long size, URI address) {}

  /** Files that are needed; {@code single} is the only one, or is null. */
  record FileSelection(List<String> files, String single) {
    private static final Set<String> DESCRIPTIONS =
        Set.of(
            """
            config.json generation_config.json tokenizer.json tokenizer_config.json
            special_tokens_map.json added_tokens.json chat_template.jinja
            """
                .strip()
                .split("\\s+", -1));

    private static final String SINGLE = "model.safetensors";
    private static final String INDEX = "model.safetensors.index.json";
    private static final Pattern SHARD = Pattern.compile("model-\\d+-of-\\d+\\.safetensors");
    private static final Pattern GGUF = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*\\.gguf");
    private static final Pattern DATA = Pattern.compile(".+\\.(parquet|jsonl|ndjson|json|txt)");
    private static final Pattern PICKLE = Pattern.compile("[^/]+\\.(bin|pt|pth|ckpt)");

    FileSelection {
      files = List.copyOf(files);
    }

    /**
     * Selects from all files of a repository: the one that is named, safetensors, or else the only
     * GGUF file.
     */
    static FileSelection of(HubId id, List<String> all) {
      if (id.file() != null) {
        if (!all.contains(id.file())) {
          throw new HubException(
              "%s: the repository has no file %s; its %s files are %s."
                  .formatted(
                      id,
                      id.file(),
                      id.isData() ? "data" : "GGUF",
                      matching(all, id.isData() ? DATA : GGUF)));
        }
        return new FileSelection(List.of(id.file()), id.file());
      }
      List<String> files = new ArrayList<>(all);
      files.removeIf(name -> !DESCRIPTIONS.contains(name));
      if (all.contains(SINGLE)) {
        files.add(SINGLE);
      } else if (all.contains(INDEX)) {
        files.add(INDEX);
        files.addAll(matching(all, SHARD));
      } else {
        String gguf = onlyGguf(id, all);
        return new FileSelection(List.of(gguf), gguf);
      }
      return new FileSelection(files, null);
    }

    private static String onlyGguf(HubId id, List<String> all) {
      List<String> ggufs = matching(all, GGUF);
      if (ggufs.size() == 1) {
        return ggufs.get(0);
      }
      if (ggufs.size() > 1) {
        throw new HubException(
            "%s: the repository has several GGUF files: %s. Name one of them, for example %s/%s."
                .formatted(id, String.join(", ", ggufs), id.repository(), ggufs.get(0)));
      }
      List<String> pickles = matching(all, PICKLE);
      if (!pickles.isEmpty()) {
        throw new HubException(
            "%s: the weights are only there as %s. Such files are not loaded, because opening one can run any code in it. Look for a version with %s, or convert the model."
                .formatted(id, String.join(", ", pickles), SINGLE));
      }
      throw new HubException(
          "%s: the repository holds no weights, neither safetensors nor GGUF, but %s."
              .formatted(id, all));
    }

    private static List<String> matching(List<String> all, Pattern pattern) {
      return all.stream().filter(name -> pattern.matcher(name).matches()).sorted().toList();
    }
  }
}
