package dev.kvshare.apply.model.hub;

import dev.kvshare.apply.model.hub.ModelLocator.DownloadListener;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandler;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.function.Consumer;

/**
 * Requests to the hub. Redirects are followed here and not by the HTTP client, so that the token
 * goes to the hub alone; busy and failing servers are asked again after a pause.
 */
record HubClient(
    HubSettings settings, DownloadListener listener, Sleeper sleeper, HttpClient http) {
  private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(15);
  private static final Duration ANSWER_TIMEOUT = Duration.ofSeconds(60);
  private static final Duration LONGEST_PAUSE = Duration.ofMinutes(5);
  private static final int MAX_REDIRECTS = 5;
  private static final int MAX_ATTEMPTS = 5;

  /** Waits; replaced in tests. */
  @FunctionalInterface
  interface Sleeper {
    void sleep(Duration pause) throws InterruptedException;
  }

  HubClient(HubSettings settings, DownloadListener listener, Sleeper sleeper) {
    this(
        settings,
        listener,
        sleeper,
        HttpClient.newBuilder()
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(CONNECT_TIMEOUT)
            .build());
  }

  /** An address below the endpoint. */
  URI address(String path) {
    return URI.create(settings.endpoint() + path);
  }

  /**
   * Sends a request until the answer is neither a redirect nor a passing failure. The answer may
   * still be an error of the client's (4xx).
   *
   * @param method GET or HEAD
   * @param followOut whether a redirect to another host is followed, or is itself the answer
   * @param headers adds headers to each request
   * @throws IOException when the connection fails, also after several attempts
   */
  <T> HttpResponse<T> send(
      String method,
      URI address,
      boolean followOut,
      Consumer<HttpRequest.Builder> headers,
      BodyHandler<T> body)
      throws IOException {
    for (int attempt = 1; ; attempt++) {
      HttpResponse<T> response = null;
      IOException failure = null;
      try {
        response = follow(method, address, followOut, headers, body);
      } catch (IOException e) {
        failure = e;
      }
      boolean last = attempt == MAX_ATTEMPTS;
      if (failure != null && last) {
        throw failure;
      }
      Duration pause = pause(response, attempt);
      boolean tooLong = pause.compareTo(LONGEST_PAUSE) > 0;
      if (response != null && (last || tooLong || !isPassing(response.statusCode()))) {
        return response;
      }
      discard(response);
      wait(failure == null ? "HTTP " + response.statusCode() : String.valueOf(failure), pause);
    }
  }

  /** Waits before a repetition. */
  void wait(String reason, Duration pause) {
    listener.waiting(reason, pause);
    try {
      sleeper.sleep(pause);
    } catch (InterruptedException e) {
      throw HubException.interrupted(e);
    }
  }

  /** The pause that an answer asks for, or one that doubles with each attempt. */
  static Duration pause(HttpResponse<?> response, int attempt) {
    String after =
        response == null ? "" : response.headers().firstValue("Retry-After").orElse("").strip();
    if (after.matches("\\d{1,9}")) {
      return Duration.ofSeconds(Long.parseLong(after));
    }
    try {
      Instant until = ZonedDateTime.parse(after, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant();
      Duration pause = Duration.between(Instant.now(), until);
      return pause.isNegative() ? Duration.ZERO : pause;
    } catch (DateTimeParseException e) {
      return Duration.ofSeconds(1L << Math.min(attempt - 1, 5));
    }
  }

  private <T> HttpResponse<T> follow(
      String method,
      URI start,
      boolean followOut,
      Consumer<HttpRequest.Builder> headers,
      BodyHandler<T> body)
      throws IOException {
    URI address = start;
    for (int hop = 0; hop <= MAX_REDIRECTS; hop++) {
      HttpRequest.Builder request =
          HttpRequest.newBuilder(address)
              .method(method, HttpRequest.BodyPublishers.noBody())
              .timeout(ANSWER_TIMEOUT)
              .header("User-Agent", "kvshare");
      headers.accept(request);
      if (settings.token() != null && isHub(address)) {
        request.header("Authorization", "Bearer " + settings.token());
      }
      HttpResponse<T> response = send(request.build(), body);
      String location = response.headers().firstValue("Location").orElse(null);
      if (!isRedirect(response.statusCode()) || location == null) {
        return response;
      }
      URI next = address.resolve(location);
      if (!followOut && !isHub(next)) {
        return response;
      }
      if ("https".equals(address.getScheme()) && !"https".equals(next.getScheme())) {
        throw new HubException(
            address + " redirects to " + next + ", which is not encrypted; it is not followed.");
      }
      discard(response);
      address = next;
    }
    throw new HubException(start + " redirects more than " + MAX_REDIRECTS + " times.");
  }

  private <T> HttpResponse<T> send(HttpRequest request, BodyHandler<T> body) throws IOException {
    try {
      return http.send(request, body);
    } catch (InterruptedException e) {
      throw HubException.interrupted(e);
    }
  }

  /** The token belongs to one scheme, host and port. */
  private boolean isHub(URI address) {
    URI hub = settings.endpoint();
    return hub.getScheme().equalsIgnoreCase(address.getScheme())
        && hub.getHost().equalsIgnoreCase(address.getHost())
        && port(hub) == port(address);
  }

  private static int port(URI address) {
    int usual = "https".equalsIgnoreCase(address.getScheme()) ? 443 : 80;
    return address.getPort() < 0 ? usual : address.getPort();
  }

  private static void discard(HttpResponse<?> response) throws IOException {
    if (response != null && response.body() instanceof InputStream stream) {
      stream.close();
    }
  }

  static boolean isRedirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  }

  private static boolean isPassing(int status) {
    return status == 408 || status == 429 || status >= 500;
  }
}
