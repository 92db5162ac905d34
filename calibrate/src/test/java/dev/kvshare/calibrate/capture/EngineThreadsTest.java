package dev.kvshare.calibrate.capture;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.jni.JniUtils;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.calibrate.KvSharerGolden;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.nd4j.nativeblas.NativeOpsHolder;

/**
 * ND4J sets the threads of the OpenMP that it shares with the engine when it starts, which is once
 * a process: what is tested runs in a process of its own.
 */
@Tag("numerics")
class EngineThreadsTest {
  /** A number that no library comes to by itself. */
  private static final int ODD = Runtime.getRuntime().availableProcessors() + 1;

  @Test
  void theThreadsStayThoseOfTheDecoder() throws IOException, InterruptedException {
    assertEquals(
        List.of(
            "behind ND4J's start " + ODD,
            "behind the load of a decoder 1",
            "behind another library's change 1",
            "on another Java thread 1"),
        lines(OwnProcess.class));
  }

  /** What it prints. */
  private static List<String> lines(Class<?> main) throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Dkvshare.root=" + System.getProperty("kvshare.root"),
                "-cp",
                System.getProperty("java.class.path"),
                main.getName())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    String printed =
        new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
    assertEquals(0, process.waitFor(), printed);
    return printed.lines().toList();
  }

  /** The process. */
  static final class OwnProcess {
    private OwnProcess() {}

    public static void main(String[] arguments) throws InterruptedException {
      try (Decoder first = load(0)) {
        JniUtils.setNumThreads(ODD);
        KvDistances averages = new KvDistances(2, 1);
        Stream.of(0, 1).forEach(layer -> averages.add(layer, new float[2], new float[2]));
        averages.matrix(2);
        print("behind ND4J's start", first);
      }
      try (Decoder second = load(1)) {
        print("behind the load of a decoder", second);
        NativeOpsHolder.getInstance().getDeviceNativeOps().setOmpNumThreads(ODD);
        print("behind another library's change", second);
        Thread other = new Thread(() -> print("on another Java thread", second), "other");
        other.start();
        other.join();
      }
    }

    private static Decoder load(int threads) {
      try (Checkpoint checkpoint = Checkpoints.open(KvSharerGolden.path("tiny_llama"))) {
        return Decoder.load(checkpoint, new DecoderOptions("cpu", ComputeType.FLOAT32, threads));
      }
    }

    /** The threads behind a computation. */
    private static void print(String when, Decoder decoder) {
      try (NDManager scratch = decoder.newManager();
          NDArray hidden = scratch.zeros(new Shape(1, 1, decoder.spec().hiddenSize()))) {
        decoder.finalNorm(hidden).close();
      }
      System.out.println(when + " " + JniUtils.getNumThreads());
    }
  }
}
