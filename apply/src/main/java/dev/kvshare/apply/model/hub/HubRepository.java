package dev.kvshare.apply.model.hub;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.apply.model.storage.JsonFiles;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** What the hub knows of a model: its commit, its files, and each file's hash and size. */
final class HubRepository {
  private static final Pattern ETAG = Pattern.compile("[A-Za-z0-9_-]{8,128}");

  private final HubModelId model;
  private final HubSettings settings;
  private final HubClient client;

  /**
   * A revision.
   *
   * @param files names of all its files
   */
  record Revision(String commit, List<String> files) {}

  HubRepository(HubModelId model, HubSettings settings, HubClient client) {
    this.model = model;
    this.settings = settings;
    this.client = client;
  }

  /** Finds the commit of the revision and its files. */
  Revision revision() throws IOException {
    URI address =
        client.address(
            "/api/models/" + model.repository() + "/revision/" + encode(model.revision()));
    HttpResponse<String> response =
        client.send("GET", address, false, request -> {}, BodyHandlers.ofString());
    if (response.statusCode() != 200) {
      throw HubErrors.of(model, "the description", settings, response);
    }
    JsonNode description = parse(address, response.body());
    String commit = description.path("sha").asText();
    List<String> files = new ArrayList<>();
    description.path("siblings").forEach(file -> files.add(file.path("rfilename").asText()));
    if (!HubCache.isCommit(commit) || files.isEmpty()) {
      throw new HubException(
          address
              + ": the answer names no commit ('sha') or no files ('siblings'). Check that"
              + " HF_ENDPOINT is a hub.");
    }
    return new Revision(commit, files);
  }

  /** Asks for hash and size of a file, which large files have at the place they are stored. */
  HubFile describe(String commit, String name) throws IOException {
    URI address = client.address("/" + model.repository() + "/resolve/" + commit + "/" + name);
    HttpResponse<Void> response =
        client.send(
            "HEAD",
            address,
            false,
            request -> request.header("Accept-Encoding", "identity"),
            BodyHandlers.discarding());
    boolean elsewhere = HubClient.isRedirect(response.statusCode());
    if (response.statusCode() != 200 && !elsewhere) {
      throw HubErrors.of(model, "file " + name, settings, response);
    }
    String etag = header(response, "X-Linked-Etag", "ETag");
    etag = etag == null ? "" : etag.replaceAll("^W/", "").replace("\"", "");
    String size = header(response, "X-Linked-Size", elsewhere ? "X-Linked-Size" : "Content-Length");
    if (!ETAG.matcher(etag).matches() || size == null || !size.matches("\\d{1,18}")) {
      throw new HubException(
          address
              + ": the answer has no usable hash (ETag '"
              + etag
              + "') or size ('"
              + size
              + "'), so that the file could not be checked. Use another HF_ENDPOINT.");
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

  private static String encode(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
  }
}
