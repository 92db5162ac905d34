package dev.kvshare.apply.generate;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What the operating system says of this process's memory. */
public final class ProcessMemory {
  private static final Path STATUS = Path.of("/proc/self/status");
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

  private static OptionalLong read(Pattern field) {
    if (!Files.isReadable(STATUS)) {
      return OptionalLong.empty();
    }
    try {
      Matcher matcher = field.matcher(Files.readString(STATUS, StandardCharsets.US_ASCII));
      return matcher.find()
          ? OptionalLong.of(Long.parseLong(matcher.group(1)) * 1024)
          : OptionalLong.empty();
    } catch (IOException e) {
      return OptionalLong.empty();
    }
  }
}
