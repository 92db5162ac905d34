package dev.kvshare.apply.generate;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What the operating system says of this process's memory. */
public final class ProcessMemory {
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Path MACHINE = Path.of("/proc/meminfo");
  private static final Pattern AVAILABLE = Pattern.compile("(?m)^MemAvailable:\\s+(\\d+) kB$");
  private static final Pattern PEAK = Pattern.compile("(?m)^VmHWM:\\s+(\\d+) kB$");
  private static final Pattern NOW = Pattern.compile("(?m)^VmRSS:\\s+(\\d+) kB$");

  private ProcessMemory() {}

  /** The highest resident memory so far in bytes; empty where the system does not tell. */
  public static OptionalLong peakResidentBytes() {
    return read(PEAK);
  }

  /** The resident memory now in bytes; empty where the system does not tell. */
  public static OptionalLong residentBytes() {
    return read(NOW);
  }

  /**
   * The memory in bytes that more can be allocated in: what the machine has left, or what the limit
   * of a container leaves of it; empty where the system does not tell.
   */
  public static OptionalLong availableBytes() {
    OptionalLong machine = read(MACHINE, AVAILABLE);
    OptionalLong used = residentBytes();
    if (machine.isEmpty() || used.isEmpty()) {
      return machine;
    }
    OperatingSystemMXBean system =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    long limit = system.getTotalMemorySize() - used.getAsLong();
    return OptionalLong.of(Math.max(0, Math.min(machine.getAsLong(), limit)));
  }

  private static OptionalLong read(Pattern field) {
    return read(STATUS, field);
  }

  private static OptionalLong read(Path file, Pattern field) {
    if (!Files.isReadable(file)) {
      return OptionalLong.empty();
    }
    try {
      Matcher matcher = field.matcher(Files.readString(file, StandardCharsets.US_ASCII));
      return matcher.find()
          ? OptionalLong.of(Long.parseLong(matcher.group(1)) * 1024)
          : OptionalLong.empty();
    } catch (IOException e) {
      return OptionalLong.empty();
    }
  }
}
