package dev.kvshare.calibrate.repair;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kvshare.apply.generate.ProcessMemory;
import org.junit.jupiter.api.condition.OS;

/**
 * The memory of this process, native memory included. Tests compare it before and after: the heap
 * of the JVM has to be of a fixed size and resident, as the module's build sets it.
 */
public final class ResidentMemory {
  private ResidentMemory() {}

  /** Bytes resident now; skips the test where that cannot be read. */
  public static long bytes() {
    assumeTrue(OS.LINUX.isCurrentOs(), "resident memory is read from /proc");
    Runtime runtime = Runtime.getRuntime();
    assertEquals(
        runtime.maxMemory(),
        runtime.totalMemory(),
        "a heap that grows looks like a leak: run with -Xms2g -Xmx2g -XX:+AlwaysPreTouch");
    return ProcessMemory.residentBytes().orElseThrow();
  }
}
