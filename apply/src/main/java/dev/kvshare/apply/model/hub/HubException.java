package dev.kvshare.apply.model.hub;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.hub.ModelLocator.HubModelId;
import java.io.IOException;
import java.net.http.HttpResponse;

/** A model cannot be fetched from the hub. */
public final class HubException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  public HubException(String message) {
    super(message);
  }

  public HubException(String message, Throwable cause) {
    super(message, cause);
  }

  /**
   * The exception for an answer that is no success.
   *
   * @param what what was asked for
   */
  static HubException of(
      HubModelId model, String what, HubSettings settings, HttpResponse<?> response) {
    int status = response.statusCode();
    String start = what + " of " + model + " (" + response.uri() + "): ";
    return new HubException(
        start
            + switch (status) {
              case 401 ->
                  settings.token() == null
                      ? "HTTP 401, the model does not exist or is private. Check the name; if it is"
                          + " right, set HF_TOKEN to a token that may read it."
                      : "HTTP 401, the hub does not accept the token. Check HF_TOKEN.";
              case 403 ->
                  "HTTP 403, access is refused. Accept the model's terms on %s/%s and set HF_TOKEN to a token of that account."
                      .formatted(settings.endpoint(), model.repository());
              case 404 ->
                  "HTTP 404, there is no such model, revision or file. Check the name and the revision '%s'; if a local path was meant, it does not exist either."
                      .formatted(model.revision());
              case 429 ->
                  "HTTP 429, too many requests%s. Try again later, or with a token in HF_TOKEN."
                      .formatted(
                          response
                              .headers()
                              .firstValue("Retry-After")
                              .map(after -> "; the hub asks to wait (Retry-After: " + after + ")")
                              .orElse(""));
              default ->
                  "HTTP "
                      + status
                      + (status >= 500 ? ", the hub fails. Try again later." : ", not understood.");
            });
  }

  /** The exception for a connection that fails. */
  static HubException unreachable(HubModelId model, HubSettings settings, IOException cause) {
    return new HubException(
        "%s: there is no such file or directory here, and the hub %s cannot be reached (%s). Check the connection, set HF_ENDPOINT to a mirror, or give the path of a local model. What was received is kept; the next run goes on from there."
            .formatted(model, settings.endpoint(), cause),
        cause);
  }
}
