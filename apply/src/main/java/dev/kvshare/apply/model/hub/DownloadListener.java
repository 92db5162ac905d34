package dev.kvshare.apply.model.hub;

import java.time.Duration;

/** Hears how a download goes on. Called from several threads. */
public interface DownloadListener {
  /** Hears nothing. */
  DownloadListener SILENT = new DownloadListener() {};

  /**
   * The download starts.
   *
   * @param bytes what is still to be received
   */
  default void starting(HubModelId model, int files, long bytes) {}

  /** More bytes have been received. */
  default void received(long bytes) {}

  /** A request is repeated after a pause. */
  default void waiting(String reason, Duration pause) {}

  /** The hub cannot be reached, so the copy in the cache is used. */
  default void usingCache(String reason) {}
}
