package dev.kvshare.apply.model.hub;

import dev.kvshare.apply.model.hub.HubRepository.HubFile;
import dev.kvshare.apply.model.hub.ModelLocator.HubId;
import dev.kvshare.apply.model.storage.Digest;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;

/**
 * Receives one file into the cache. What has been received stays in an {@code .incomplete} file; a
 * broken transfer goes on from there, in the same run and in later ones. Only a file of the
 * announced size and hash becomes a blob.
 */
record FileDownload(HubId id, HubFile file, HubClient client, HubCache cache) {
  private static final int SHA1_DIGITS = 40;
  private static final int SHA256_DIGITS = 64;
  private static final int BUFFER_BYTES = 1 << 17;
  private static final int MAX_BROKEN_TRANSFERS = 5;
  private static final long LOCK_POLL_MILLIS = 50;
  private static final Duration PAUSE = Duration.ofSeconds(1);

  /** Receives the file unless another process or thread did; returns whether it was needed. */
  boolean run() {
    Path incomplete = cache.incomplete(file.etag());
    Path blob = cache.blob(file.etag());
    boolean missing = false;
    try {
      try (FileChannel channel =
              FileChannel.open(incomplete, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
          FileLock lock = lock(channel)) {
        missing = lock.isValid() && !Files.exists(blob);
        if (missing) {
          receiveAll(channel);
          channel.force(true);
          String hash = hashOf(incomplete, file.etag());
          if (!hash.equals(file.etag())) {
            throw changed(channel, "its hash is " + hash + " instead of " + file.etag());
          }
        }
      }
      if (Files.exists(blob)) {
        Files.deleteIfExists(incomplete);
      } else {
        Files.move(incomplete, blob, StandardCopyOption.ATOMIC_MOVE);
      }
    } catch (IOException e) {
      if (!Files.exists(blob)) {
        throw cache.unwritable(e);
      }
    }
    return missing;
  }

  /** Waits for other processes and, of which the operating system knows nothing, threads. */
  private static FileLock lock(FileChannel channel) throws IOException {
    while (true) {
      try {
        return channel.lock();
      } catch (OverlappingFileLockException heldInThisProcess) {
        try {
          Thread.sleep(LOCK_POLL_MILLIS);
        } catch (InterruptedException e) {
          throw HubException.interrupted(e);
        }
      }
    }
  }

  private void receiveAll(FileChannel channel) throws IOException {
    if (channel.size() > file.size()) {
      channel.truncate(0);
    }
    for (int broken = 0; channel.size() < file.size(); ) {
      long before = channel.size();
      try {
        receive(channel);
      } catch (TransferException e) {
        broken = channel.size() > before ? 1 : broken + 1;
        if (broken == MAX_BROKEN_TRANSFERS) {
          throw HubException.unreachable(id, client.settings(), e.broken());
        }
        client.wait(file.name() + ": " + e.broken(), PAUSE);
      }
    }
  }

  /** Receives what is missing. */
  private void receive(FileChannel channel) throws IOException, TransferException {
    long from = channel.size();
    HttpResponse<InputStream> response = request(from);
    try (InputStream body = response.body()) {
      switch (response.statusCode()) {
        case 200 -> {
          checkSize(response, "Content-Length", "", channel);
          // A server that ignores the range sends everything again.
          channel.truncate(0);
        }
        case 206 -> checkSize(response, "Content-Range", "bytes " + from + "-\\d+/", channel);
        case 416 -> throw changed(channel, "there is nothing after byte " + from);
        default -> throw HubException.of(id, "file " + file.name(), client.settings(), response);
      }
      copy(body, channel);
    }
    if (channel.size() < file.size()) {
      String reached = channel.size() + " of " + file.size();
      throw new TransferException(
          new IOException("the transfer ended after " + reached + " bytes"));
    }
  }

  private HttpResponse<InputStream> request(long from) {
    try {
      return client.send(
          "GET",
          file.address(),
          true,
          request -> {
            request.header("Accept-Encoding", "identity");
            if (from > 0) {
              request.header("Range", "bytes=" + from + "-");
            }
          },
          BodyHandlers.ofInputStream());
    } catch (IOException e) {
      throw HubException.unreachable(id, client.settings(), e);
    }
  }

  private void checkSize(HttpResponse<?> response, String header, String start, FileChannel channel)
      throws IOException {
    String size = response.headers().firstValue(header).orElse("");
    if (!size.isEmpty() && !size.matches(start + file.size())) {
      throw changed(
          channel, header + " is '" + size + "' where " + file.size() + " bytes are expected");
    }
  }

  private HubException changed(FileChannel channel, String found) throws IOException {
    channel.truncate(0);
    return new HubException(
        "file %s of %s (%s) changed while it was received, or was damaged on the way: %s. What was received is dropped. Run again."
            .formatted(file.name(), id, file.address(), found));
  }

  /** Breaks of the connection, told apart from errors of the disk. */
  private static final class TransferException extends Exception {
    private static final long serialVersionUID = 1L;

    TransferException(IOException broken) {
      super(broken);
    }

    IOException broken() {
      return (IOException) getCause();
    }
  }

  private void copy(InputStream body, FileChannel channel) throws IOException, TransferException {
    byte[] buffer = new byte[BUFFER_BYTES];
    long position = channel.size();
    try (StallGuard guard = new StallGuard(body)) {
      while (true) {
        int count;
        try {
          count = body.read(buffer);
        } catch (IOException e) {
          throw new TransferException(e);
        }
        if (count < 0) {
          return;
        }
        guard.progress();
        if (count > file.size() - position) {
          throw changed(channel, "more than " + file.size() + " bytes arrive");
        }
        for (ByteBuffer part = ByteBuffer.wrap(buffer, 0, count); part.hasRemaining(); ) {
          position += channel.write(part, position);
        }
        client.listener().received(count);
      }
    }
  }

  /** Makes threads that do not keep the program running. */
  static ThreadFactory daemons(String name) {
    return task -> {
      Thread thread = new Thread(task, name);
      thread.setDaemon(true);
      return thread;
    };
  }

  /** Closes a stream from which nothing arrives any more, so that its reader wakes up. */
  private static final class StallGuard implements AutoCloseable {
    private static final long LONGEST_SILENCE_SECONDS = 60;

    private final ScheduledExecutorService timer =
        Executors.newSingleThreadScheduledExecutor(daemons("kvshare-download-guard"));

    private volatile boolean progress;

    StallGuard(InputStream stream) {
      var unused =
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
      timer.shutdownNow();
    }

    private static void close(InputStream stream) {
      try {
        stream.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  /**
   * The hash by which the hub names a file: SHA-256 of the content for large files (Git LFS), and
   * for the others that of a Git blob, SHA-1 of {@code "blob " + size + NUL + content}.
   *
   * @return the hash of the kind that the etag is; the etag itself if it is of no known kind
   */
  private static String hashOf(Path file, String etag) throws IOException {
    if (!etag.matches("[0-9a-f]+")) {
      return etag;
    }
    return switch (etag.length()) {
      case SHA256_DIGITS -> Digest.end(Digest.start("SHA-256"), file);
      case SHA1_DIGITS -> {
        MessageDigest digest = Digest.start("SHA-1");
        digest.update(("blob " + Files.size(file) + "\0").getBytes(StandardCharsets.US_ASCII));
        yield Digest.end(digest, file);
      }
      default -> etag;
    };
  }
}
