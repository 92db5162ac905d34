package dev.kvshare.apply.model.hub;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;

/**
 * A hub on this machine with one model or data set, {@code org/name}, and beside it the store of
 * its large files, another server to which the hub redirects. Each can be told to misbehave.
 */
final class FakeHub implements AutoCloseable {
  static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";
  static final String TOKEN = "hf_secret";

  private final Map<String, byte[]> files = new TreeMap<>();
  private final HttpServer hub = server();
  private final HttpServer store = server();
  private final Map<String, Misbehaviour> misbehaviours = new ConcurrentHashMap<>();

  /** Each request as {@code SERVER METHOD PATH [range]}. */
  final List<String> requests = new CopyOnWriteArrayList<>();

  /** Each request's path that came with the token, after {@code SERVER }. */
  final List<String> authorised = new CopyOnWriteArrayList<>();

  /** What is done instead of an answer; false when the usual answer follows. */
  @FunctionalInterface
  interface Misbehaviour {
    boolean act(HttpExchange exchange) throws IOException;
  }

  FakeHub() {
    hub.createContext("/", exchange -> handle("hub", exchange));
    store.createContext("/", exchange -> handle("store", exchange));
    hub.start();
    store.start();
  }

  FakeHub file(String name, String text) {
    files.put(name, text.getBytes(StandardCharsets.UTF_8));
    return this;
  }

  FakeHub file(String name, byte[] bytes) {
    files.put(name, bytes.clone());
    return this;
  }

  byte[] content(String name) {
    return files.get(name).clone();
  }

  /**
   * Intercepts requests like {@code GET /org/name/resolve/COMMIT/config.json}, on either server.
   */
  FakeHub when(String request, Misbehaviour misbehaviour) {
    misbehaviours.put(request, misbehaviour);
    return this;
  }

  FakeHub behave() {
    misbehaviours.clear();
    return this;
  }

  /** Does something the first time only. */
  static Misbehaviour once(Misbehaviour misbehaviour) {
    boolean[] done = {false};
    return exchange -> {
      boolean first = !done[0];
      done[0] = true;
      return first && misbehaviour.act(exchange);
    };
  }

  /** Answers with a status and headers, given as name, value, name, value. */
  static Misbehaviour status(int status, String... headers) {
    return exchange -> {
      for (int i = 0; i < headers.length; i += 2) {
        exchange.getResponseHeaders().set(headers[i], headers[i + 1]);
      }
      exchange.sendResponseHeaders(status, -1);
      exchange.close();
      return true;
    };
  }

  static String resolve(String method, String name) {
    return method + " /org/name/resolve/" + COMMIT + "/" + name;
  }

  static String api(String revision) {
    return "GET /api/models/org/name/revision/" + revision;
  }

  URI endpoint() {
    return address(hub);
  }

  URI store() {
    return address(store);
  }

  @Override
  public void close() {
    hub.stop(0);
    store.stop(0);
  }

  private void handle(String server, HttpExchange exchange) throws IOException {
    String path = exchange.getRequestURI().getPath();
    String request = exchange.getRequestMethod() + " " + path;
    String range = exchange.getRequestHeaders().getFirst("Range");
    requests.add(server + " " + request + (range == null ? "" : " " + range));
    if (("Bearer " + TOKEN).equals(exchange.getRequestHeaders().getFirst("Authorization"))) {
      authorised.add(server + " " + path);
    }
    Misbehaviour misbehaviour = misbehaviours.get(request);
    if (misbehaviour != null && misbehaviour.act(exchange)) {
      return;
    }
    String name = path.replaceFirst("^/large/|^/.*/resolve/" + COMMIT + "/|^/new/name/", "");
    if (path.matches("/api/(models|datasets)/org/name/revision/.*")) {
      answer(exchange, 200, description());
    } else if (!files.containsKey(name)) {
      status(404).act(exchange);
    } else if (server.equals("hub") && isLarge(name)) {
      exchange.getResponseHeaders().set("X-Linked-Etag", '"' + sha256(content(name)) + '"');
      exchange.getResponseHeaders().set("X-Linked-Size", "" + content(name).length);
      status(302, "Location", store() + "/large/" + name).act(exchange);
    } else {
      exchange.getResponseHeaders().set("ETag", '"' + gitHash(content(name)) + '"');
      send(exchange, content(name), range);
    }
  }

  /** Sends a file or its end. */
  static void send(HttpExchange exchange, byte[] content, String range) throws IOException {
    if (range == null) {
      answer(exchange, 200, content);
      return;
    }
    int from = Integer.parseInt(range.replaceAll("\\D", ""));
    exchange
        .getResponseHeaders()
        .set("Content-Range", "bytes " + from + "-" + (content.length - 1) + "/" + content.length);
    answer(exchange, 206, Arrays.copyOfRange(content, from, content.length));
  }

  private static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
    boolean head = exchange.getRequestMethod().equals("HEAD");
    if (head) {
      exchange.getResponseHeaders().set("Content-Length", "" + body.length);
    }
    exchange.sendResponseHeaders(status, head || body.length == 0 ? -1 : body.length);
    if (!head) {
      exchange.getResponseBody().write(body);
    }
    exchange.close();
  }

  /** Announces all bytes of a file, but breaks off after some of them. */
  static void breakOff(HttpExchange exchange, byte[] content, int bytes) throws IOException {
    exchange.sendResponseHeaders(200, content.length);
    exchange.getResponseBody().write(content, 0, bytes);
    exchange.getResponseBody().flush();
    exchange.close();
  }

  private byte[] description() {
    String siblings =
        files.keySet().stream()
            .map(name -> "{\"rfilename\": \"" + name + "\"}")
            .collect(Collectors.joining(", "));
    return ("{\"sha\": \"" + COMMIT + "\", \"siblings\": [" + siblings + "]}")
        .getBytes(StandardCharsets.UTF_8);
  }

  static boolean isLarge(String name) {
    return name.matches(".*\\.(safetensors|gguf|parquet)");
  }

  static String sha256(byte[] content) {
    return HexFormat.of().formatHex(digest("SHA-256").digest(content));
  }

  static String gitHash(byte[] content) {
    MessageDigest digest = digest("SHA-1");
    digest.update(("blob " + content.length + "\0").getBytes(StandardCharsets.US_ASCII));
    return HexFormat.of().formatHex(digest.digest(content));
  }

  private static MessageDigest digest(String algorithm) {
    try {
      return MessageDigest.getInstance(algorithm);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static URI address(HttpServer server) {
    return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
  }

  private static HttpServer server() {
    try {
      HttpServer server =
          HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
      server.setExecutor(
          Executors.newCachedThreadPool(
              task -> {
                Thread thread = new Thread(task, "fake-hub");
                thread.setDaemon(true);
                return thread;
              }));
      return server;
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }
}
