package dev.kvshare.apply.decoder;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import dev.kvshare.apply.model.OfflineDjl;

/** Starts the PyTorch engine in this process; nothing is downloaded or reported. */
public final class PyTorchRuntime {
  private static final String ENGINE = "PyTorch";

  private PyTorchRuntime() {}

  /**
   * A manager of its own on a device; the caller closes it.
   *
   * @param device {@code "cpu"} or {@code "cuda:N"}
   * @throws DeviceException when the machine, or the libtorch in use, has no such GPU
   */
  static PtNDManager newManager(String device) {
    try {
      return OfflineDjl.call(() -> (PtNDManager) NDManager.newBaseManager(device(device), ENGINE));
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new IllegalStateException("starting the engine throws no checked exception", e);
    }
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
}
