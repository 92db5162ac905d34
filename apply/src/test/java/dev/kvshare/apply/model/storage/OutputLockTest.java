package dev.kvshare.apply.model.storage;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

class OutputLockTest {
  @TempDir private Path folder;

  @Test
  void oneRunOfThisProcessAtATime() throws Exception {
    Path output = folder.resolve("policy.json");
    OutputLock lock = OutputLock.of(output);
    assertThrows(OutputException.class, () -> OutputLock.of(output));
    lock.close();
    try (Stream<Path> left = Files.list(folder)) {
      assertEquals(0, left.count());
    }
    OutputLock.of(output).close();
  }

  /** A run that is killed leaves the hidden file, but no lock. */
  @Test
  @Timeout(60)
  void oneRunOfAllProcessesAtATime() throws Exception {
    Path output = folder.resolve("policy.json");
    Process other =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin/java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                Holder.class.getName(),
                output.toString())
            .redirectErrorStream(true)
            .start();
    assertEquals('x', other.getInputStream().read());
    assertThrows(OutputException.class, () -> OutputLock.of(output));
    other.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
    OutputLock.of(output).close();
  }

  /** Holds a lock until it is killed. */
  static final class Holder {
    public static void main(String[] arguments) throws Exception {
      OutputLock.of(Path.of(arguments[0]));
      System.out.print('x');
      System.out.flush();
      Thread.sleep(60_000);
    }
  }
}
