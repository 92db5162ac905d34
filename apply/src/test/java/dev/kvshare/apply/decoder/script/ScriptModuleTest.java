package dev.kvshare.apply.decoder.script;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.Goldens;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Which products a script is loaded with. */
class ScriptModuleTest {
  private static final String FOLDER = "/dev/kvshare/apply/decoder/";

  private static Decoder decoder;
  private static PtNDManager manager;

  @BeforeAll
  static void start() {
    decoder = Goldens.load(Goldens.TINY_LLAMA);
    manager = (PtNDManager) decoder.newManager();
  }

  @AfterAll
  static void stop() {
    manager.close();
    decoder.close();
  }

  @Test
  void weightsArePackedForOneDnn() {
    try (ScriptModule script = new ScriptModule(manager, ScriptModuleTest.class)) {
      assertNotNull(script.productForm(manager, ComputeType.FLOAT32, false));
      assertMultiplies(script);
    }
  }

  @Test
  void anAbsentOperatorOfOneDnnSelectsPlainProducts() {
    try (ScriptModule script =
        new ScriptModule(manager, FOLDER + "product_absent.py", ScriptModuleTest.class)) {
      assertNull(script.productForm(manager, ComputeType.FLOAT32, false));
      assertMultiplies(script);
    }
  }

  /** Anything else that is wrong would make everything slow, and nobody would know. */
  @Test
  void anyOtherErrorIsThrown() {
    EngineException thrown =
        assertThrows(
            EngineException.class,
            () -> new ScriptModule(manager, FOLDER + "product_broken.py", ScriptModuleTest.class));
    assertTrue(thrown.getMessage().contains("aten::linear"), thrown.getMessage());
  }

  private static void assertMultiplies(ScriptModule script) {
    try (NDArray rows = manager.create(new float[] {1, 2, 3, 4}, new Shape(2, 2));
        NDArray weight = manager.create(new float[] {1, 0, 1, 1}, new Shape(2, 2));
        NDArray product = script.run(manager, "linear", rows, weight, weight, 0)) {
      assertArrayEquals(new float[] {1, 3, 3, 7}, product.toFloatArray());
    }
  }
}
