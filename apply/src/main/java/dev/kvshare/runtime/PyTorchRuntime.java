package dev.kvshare.runtime;

import ai.djl.Device;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;

/**
 * Starts the PyTorch engine in this process with what kvshare relies on: nothing is downloaded or
 * reported, and TorchScript is interpreted as written (its profiling executor would specialise the
 * decoder again for each new shape).
 */
public final class PyTorchRuntime {

  private PyTorchRuntime() {}

  /**
   * Sets the properties that the engine and the tokenizer library read when they start. Values that
   * the user has set stay. To be called before the first use of either library.
   */
  public static void configure() {
    setIfAbsent("ai.djl.offline", "true");
    setIfAbsent("OPT_OUT_TRACKING", "true");
    setIfAbsent("ai.djl.pytorch.graph_optimizer", "false");
  }

  /**
   * A manager of its own on a device; the caller closes it.
   *
   * @param device {@code "cpu"} or {@code "cuda:N"}
   */
  static PtNDManager newManager(String device) {
    configure();
    Device target =
        device.equals("cpu")
            ? Device.cpu()
            : Device.gpu(Integer.parseInt(device.substring("cuda:".length())));
    return (PtNDManager) NDManager.newBaseManager(target, "PyTorch");
  }

  /** Sets the threads of one operator on the CPU; 0 leaves them as they are. */
  static void setThreads(int threads) {
    if (threads > 0 && JniUtils.getNumThreads() != threads) {
      JniUtils.setNumThreads(threads);
    }
  }

  private static void setIfAbsent(String property, String value) {
    if (System.getProperty(property) == null) {
      System.setProperty(property, value);
    }
  }
}
