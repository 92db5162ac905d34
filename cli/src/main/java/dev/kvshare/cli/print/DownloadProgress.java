package dev.kvshare.cli.print;

import dev.kvshare.apply.model.hub.ModelLocator.DownloadListener;
import dev.kvshare.apply.model.hub.ModelLocator.HubId;
import java.time.Duration;

/** Shows on the terminal how a download goes on; it is called from several threads. */
public final class DownloadProgress implements DownloadListener, AutoCloseable {
  private static final long MEBIBYTE = 1L << 20;

  private final Output output;
  private final ProgressLine line;
  private long totalBytes;
  private long receivedBytes;

  public DownloadProgress(Output output) {
    this.output = output;
    this.line = new ProgressLine(output);
  }

  @Override
  public synchronized void starting(HubId id, int files, long bytes) {
    totalBytes = bytes;
    output.note("fetching " + files + " files of " + id + ", " + bytes / MEBIBYTE + " MiB");
  }

  @Override
  public synchronized void received(long bytes) {
    receivedBytes += bytes;
    line.show("fetching MiB", receivedBytes / MEBIBYTE, totalBytes / MEBIBYTE, "");
  }

  @Override
  public synchronized void waiting(String reason, Duration pause) {
    line.close();
    output.warn("fetching: " + reason + "; trying again in " + pause.toSeconds() + " s");
  }

  @Override
  public synchronized void usingCache(String reason) {
    line.close();
    output.warn(reason + " The copy in the cache is used.");
  }

  @Override
  public synchronized void close() {
    line.close();
  }
}
