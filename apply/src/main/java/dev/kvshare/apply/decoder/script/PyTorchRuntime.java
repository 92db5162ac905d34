package dev.kvshare.apply.decoder.script;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import dev.kvshare.apply.model.OfflineDjl;
import java.util.concurrent.Callable;

/** Starts the PyTorch engine in this process; nothing is downloaded or reported. */
public final class PyTorchRuntime {
  private static final String ENGINE = "PyTorch";

  /** The wanted device is not available. The message is one paragraph for the user. */
  public static final class DeviceException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** Creates the exception with its whole message. */
    public DeviceException(String message) {
      super(message);
    }
  }

  /** Threads of one operator that the last decoder asked for; 0 where none did. */
  private static volatile int threads;

  private PyTorchRuntime() {}

  /**
   * A manager of its own on a device; the caller closes it.
   *
   * @param device {@code "cpu"} or {@code "cuda:N"}
   * @throws DeviceException when the machine, or the libtorch in use, has no such GPU
   */
  public static PtNDManager newManager(String device) {
    return offline(() -> (PtNDManager) NDManager.newBaseManager(device(device), ENGINE));
  }

  private static <T> T offline(Callable<T> start) {
    try {
      return OfflineDjl.call(start);
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
  public static void setThreads(int wanted) {
    if (wanted > 0) {
      threads = wanted;
    }
    keepThreads();
  }

  /**
   * Sets the threads that were asked for again where something changed them, as sums depend on
   * them. The number belongs to the calling Java thread and to an OpenMP library that the engine
   * shares with others: ND4J changes it when it starts.
   */
  public static void keepThreads() {
    if (threads > 0) {
      set(threads);
    }
  }

  /** The threads of one operator on the CPU. */
  public static int threads() {
    return JniUtils.getNumThreads();
  }

  /**
   * Starts another native library behind the engine, whose threads stay what they are, also where
   * no decoder asked for a number.
   */
  public static void startBeside(Runnable start) {
    offline(() -> Engine.getEngine(ENGINE));
    int before = JniUtils.getNumThreads();
    start.run();
    set(before);
  }

  private static void set(int wanted) {
    if (JniUtils.getNumThreads() != wanted) {
      JniUtils.setNumThreads(wanted);
    }
  }
}
