package dev.kvshare.calibrate.repair;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The memory of this process, native memory included. Tests compare it before and after: the heap
 * of the JVM has to be of a fixed size and resident, as the module's build sets it.
 */
public final class ResidentMemory {
  private static final Path STATUS = Path.of("/proc/self/status");

  private ResidentMemory() {}

  /** Bytes resident now; skips the test where that cannot be read. */
  public static long bytes() {
    assumeTrue(Files.exists(STATUS), "resident memory is read from /proc");
    Runtime runtime = Runtime.getRuntime();
    assertEquals(
        runtime.maxMemory(),
        runtime.totalMemory(),
        "a heap that grows looks like a leak: run with -Xms2g -Xmx2g -XX:+AlwaysPreTouch");
    try {
      return Files.readAllLines(STATUS).stream()
          .filter(line -> line.startsWith("VmRSS:"))
          .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024)
          .findFirst()
          .orElseThrow();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }
}
