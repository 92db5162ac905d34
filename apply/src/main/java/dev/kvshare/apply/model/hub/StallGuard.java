package dev.kvshare.apply.model.hub;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/** Closes a stream from which nothing arrives any more, so that its reader wakes up. */
final class StallGuard implements AutoCloseable {
  private static final long LONGEST_SILENCE_SECONDS = 60;

  private final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "kvshare-download-guard");
            thread.setDaemon(true);
            return thread;
          });

  private final ScheduledFuture<?> check;
  private volatile boolean progress;

  StallGuard(InputStream stream) {
    check =
        timer.scheduleAtFixedRate(
            () -> {
              if (!progress) {
                close(stream);
              }
              progress = false;
            },
            LONGEST_SILENCE_SECONDS,
            LONGEST_SILENCE_SECONDS,
            TimeUnit.SECONDS);
  }

  /** Something has arrived. */
  void progress() {
    progress = true;
  }

  @Override
  public void close() {
    check.cancel(false);
    timer.shutdown();
  }

  private static void close(InputStream stream) {
    try {
      stream.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
