package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import dev.kvshare.apply.decoder.script.ScriptModule;
import java.util.function.UnaryOperator;

/**
 * How fast this machine computes the products of a decoder, measured in a second on made-up
 * matrices without any model.
 *
 * @param operationsPerSecond floating-point operations of a product of many rows
 * @param bytesPerSecond bytes of weights that a product of one row reads from memory
 */
public record MachineSpeed(double operationsPerSecond, double bytesPerSecond) {
  private static final int ROWS = 512;

  /** Large enough, in float32, that no cache of a CPU holds it. */
  private static final int SIZE = 4096;

  private static final int ROUNDS = 4;

  /** Measures products in the compute type of {@code options} on its device. */
  public static MachineSpeed measure(DecoderOptions options) {
    try (PtNDManager manager = PyTorchRuntime.newManager(options.device())) {
      PyTorchRuntime.setThreads(options.threads());
      ComputeType type = options.computeType();
      try (ScriptModule script = new ScriptModule(manager, MachineSpeed.class)) {
        PtNDArray weight = filled(manager, script, type, SIZE);
        UnaryOperator<PtNDArray> form = script.productForm(manager, type, false);
        PtNDArray formed = form == null ? weight : form.apply(weight);
        double many = seconds(script, filled(manager, script, type, ROWS), formed);
        double one = seconds(script, filled(manager, script, type, 1), formed);
        double elements = (double) SIZE * SIZE;
        return new MachineSpeed(2 * ROWS * elements / many, elements * type.bytes() / one);
      }
    }
  }

  private static PtNDArray filled(
      PtNDManager manager, ScriptModule script, ComputeType type, int rows) {
    try (NDArray ones = manager.ones(new Shape(rows, SIZE), DataType.FLOAT32)) {
      return script.convert(manager, (PtNDArray) ones, type);
    }
  }

  /** The least time of a product; the first turn is not counted. */
  private static double seconds(ScriptModule script, PtNDArray rows, PtNDArray weight) {
    double least = Double.POSITIVE_INFINITY;
    for (int round = 0; round <= ROUNDS; round++) {
      long start = System.nanoTime();
      try (PtNDArray product = script.run(rows.getManager(), "linear", rows, weight, weight, 0);
          PtNDArray read = script.convert(rows.getManager(), product, ComputeType.FLOAT32)) {
        read.toFloatArray(); // waits for the device
      }
      if (round > 0) {
        least = Math.min(least, (System.nanoTime() - start) / 1e9);
      }
    }
    return least;
  }
}
