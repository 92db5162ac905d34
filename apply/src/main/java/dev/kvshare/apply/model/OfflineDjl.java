package dev.kvshare.apply.model;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Callable;

/**
 * Calls DJL without its requests to the network: downloads of native libraries, the look for a
 * cloud metadata host and the usage report. DJL reads system properties for this, which belong to
 * the whole program, so they are set during the call only.
 */
public final class OfflineDjl {
  private OfflineDjl() {}

  /**
   * Calls {@code start}. Another thread of the program that reads the properties meanwhile sees
   * them set. An {@code ai.djl.offline} that the program has set itself stays as it is.
   */
  public static synchronized <T> T call(Callable<T> start) throws Exception {
    Map<String, String> before = new HashMap<>();
    before.put("OPT_OUT_TRACKING", System.setProperty("OPT_OUT_TRACKING", "true"));
    if (System.getProperty("ai.djl.offline") == null) {
      before.put("ai.djl.offline", System.setProperty("ai.djl.offline", "true"));
    }
    try {
      return start.call();
    } finally {
      before.forEach(OfflineDjl::restore);
    }
  }

  private static void restore(String property, String value) {
    if (value == null) {
      System.clearProperty(property);
    } else {
      System.setProperty(property, value);
    }
  }
}
