package dev.kvshare.apply.decoder;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;

/**
 * Starts the PyTorch engine in this process with what kvshare relies on: nothing is downloaded or
 * reported, and TorchScript is interpreted as written (its profiling executor would specialise the
 * decoder again for each new shape).
 */
public final class PyTorchRuntime {
  private static final String ENGINE = "PyTorch";

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
   * @throws DeviceException when the machine, or the libtorch in use, has no such GPU
   */
  static PtNDManager newManager(String device) {
    configure();
    return (PtNDManager) NDManager.newBaseManager(device(device), ENGINE);
  }

  private static Device device(String name) {
    if (name.equals("cpu")) {
      return Device.cpu();
    }
    int gpus = Engine.getEngine(ENGINE).getGpuCount();
    int index = Integer.parseInt(name.substring("cuda:".length()));
    if (index >= gpus) {
      throw new DeviceException(
          "The device %s is not there: this process sees %d GPUs. The libtorch that comes along is for the CPU; for a GPU, set PYTORCH_LIBRARY_PATH to the folder of a CUDA libtorch and check the driver, or use cpu."
              .formatted(name, gpus));
    }
    return Device.gpu(index);
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
