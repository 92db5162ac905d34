package dev.kvshare.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.cli.print.Terminal;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InterruptionTest {
  @TempDir Path folder;

  /** The computation is within one call of a native library for seconds when the signal comes. */
  @Test
  void aProcessThatComputesEndsWithoutACrash() throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(
                List.of(
                    Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                    "-Dai.djl.offline=true",
                    "-cp",
                    System.getProperty("java.class.path"),
                    Computing.class.getName(),
                    System.getProperty("kvshare.root")))
            .directory(folder.toFile())
            .redirectErrorStream(true)
            .start();
    try (BufferedReader out = process.inputReader()) {
      while (!"computing".equals(out.readLine())) {
        assertTrue(process.isAlive());
      }
      Thread.sleep(1000); // Until it is within the call.
      process.toHandle().destroy(); // Which leaves the streams open.
      assertTrue(process.waitFor(5, TimeUnit.MINUTES));
      assertEquals(List.of("", "kvshare: interrupted; nothing was written."), out.lines().toList());
    }
    assertEquals(ExitCodes.INTERRUPTED, process.exitValue());
    try (Stream<Path> left = Files.list(folder)) {
      assertFalse(left.findAny().isPresent(), "a crash leaves a report");
    }
  }

  /** Runs the built-in model for ever, seconds in each call. */
  static final class Computing {
    private Computing() {}

    public static void main(String[] arguments) {
      Interruption.watch(Terminal.ofProcess(System.out));
      Path path = Path.of(arguments[0], "models/builtin");
      try (LoadedModel model = LoadedModel.open(path, DecoderOptions.DEFAULT);
          NDManager manager = model.decoder().newManager();
          KvCache cache = model.decoder().newCache(SharingMap.identity(12), 32, 1024)) {
        NDArray ids = manager.ones(new Shape(32, 1024), DataType.INT64);
        NDArray hidden = model.decoder().embed(ids, cache);
        System.out.println("computing");
        while (true) {
          model.decoder().layers(hidden, cache, 0, 12).close();
        }
      }
    }
  }
}
