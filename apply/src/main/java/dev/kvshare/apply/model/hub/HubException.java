package dev.kvshare.apply.model.hub;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.hub.ModelLocator.HubId;
import java.io.IOException;
import java.net.http.HttpResponse;

/** A model or a data set cannot be fetched from the hub. */
public final class HubException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  public HubException(String message) {
    super(message);
  }

  public HubException(String message, Throwable cause) {
    super(message, cause);
  }

  /** The exception for an answer that is no success, to a request for {@code what}. */
  static HubException of(HubId id, String what, HubSettings settings, HttpResponse<?> response) {
    int status = response.statusCode();
    String kind = id.isData() ? "data set" : "model";
    String reason =
        switch (status) {
          case 401 ->
              settings.token() == null
                  ? ", the %s does not exist or is private. Check the name; if it is right, set HF_TOKEN to a token that may read it."
                      .formatted(kind)
                  : ", the hub does not accept the token. Check HF_TOKEN.";
          case 403 ->
              ", access is refused. Accept the %s's terms on %s%s and set HF_TOKEN to a token of that account."
                  .formatted(kind, settings.endpoint(), id.path());
          case 404 ->
              ", there is no such %s, revision or file. Check the name and the revision '%s'%s."
                  .formatted(
                      kind,
                      id.revision(),
                      id.isData() ? "" : "; if a local path was meant, it does not exist either");
          case 429 ->
              ", too many requests%s. Try again later, or with a token in HF_TOKEN."
                  .formatted(
                      response
                          .headers()
                          .firstValue("Retry-After")
                          .map("; the hub asks to wait (Retry-After: %s)"::formatted)
                          .orElse(""));
          default -> status >= 500 ? ", the hub fails. Try again later." : ", not understood.";
        };
    return new HubException(
        "%s of %s (%s): HTTP %s%s".formatted(what, id, response.uri(), status, reason));
  }

  /** The exception for a wait that was interrupted; the thread stays interrupted. */
  static HubException interrupted(InterruptedException cause) {
    Thread.currentThread().interrupt();
    return new HubException("The download was interrupted. Run again to go on with it.", cause);
  }

  /** The exception for a connection that fails. */
  static HubException unreachable(HubId id, HubSettings settings, IOException cause) {
    return new HubException(
        "%s: %sthe hub %s cannot be reached (%s). Check the connection, set HF_ENDPOINT to a mirror, or give the path of a local %s. What was received is kept; the next run goes on from there."
            .formatted(
                id,
                id.isData() ? "" : "there is no such file or directory here, and ",
                settings.endpoint(),
                cause,
                id.isData() ? "file" : "model"),
        cause);
  }
}
