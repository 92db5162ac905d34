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

  /** The exception for an answer that is no success, to a request for {@code what}. */
  static HubException of(
      HubModelId model, String what, HubSettings settings, HttpResponse<?> response) {
    int status = response.statusCode();
    String reason =
        switch (status) {
          case 401 ->
              settings.token() == null
                  ? ", the model does not exist or is private. Check the name; if it is right, set HF_TOKEN to a token that may read it."
                  : ", the hub does not accept the token. Check HF_TOKEN.";
          case 403 ->
              ", access is refused. Accept the model's terms on %s/%s and set HF_TOKEN to a token of that account."
                  .formatted(settings.endpoint(), model.repository());
          case 404 ->
              ", there is no such model, revision or file. Check the name and the revision '%s'; if a local path was meant, it does not exist either."
                  .formatted(model.revision());
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
        "%s of %s (%s): HTTP %s%s".formatted(what, model, response.uri(), status, reason));
  }

  /** The exception for a wait that was interrupted; the thread stays interrupted. */
  static HubException interrupted(InterruptedException cause) {
    Thread.currentThread().interrupt();
    return new HubException("The download was interrupted. Run again to go on with it.", cause);
  }

  /** The exception for a connection that fails. */
  static HubException unreachable(HubModelId model, HubSettings settings, IOException cause) {
    return new HubException(
        "%s: there is no such file or directory here, and the hub %s cannot be reached (%s). Check the connection, set HF_ENDPOINT to a mirror, or give the path of a local model. What was received is kept; the next run goes on from there."
            .formatted(model, settings.endpoint(), cause),
        cause);
  }
}
