package dev.kvshare.calibrate.repair.fit;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.calibrate.repair.TinyModels;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Fits against the normal equations solved in double precision by elimination. */
class RidgeFitTest {
  private static final int TOKENS = 60;
  private static final int INPUTS = 7;
  private static final int OUTPUTS = 3;
  private static final double STRENGTH = 0.05;

  private static Decoder decoder;
  private static Fits fits;
  private static NDManager manager;

  private final Random random = new Random(3);
  private final float[] inputs = normal(TOKENS * INPUTS);
  private final float[] targets = normal(TOKENS * OUTPUTS);
  private final float[] weights = new float[TOKENS];
  private final float[] start = normal(OUTPUTS * INPUTS);
  private final float[] startBias = normal(OUTPUTS);

  @BeforeAll
  static void load() {
    decoder = TinyModels.load(TinyModels.architecture("llama"));
    fits = new Fits(decoder);
    manager = decoder.newManager();
  }

  @AfterAll
  static void close() {
    manager.close();
    fits.close();
    decoder.close();
  }

  RidgeFitTest() {
    for (int token = 0; token < TOKENS; token++) {
      weights[token] = 0.1f + random.nextFloat();
    }
  }

  @Test
  void theSolutionIsThatOfTheNormalEquations() {
    double[][] expected = closedForm();
    try (RidgeFit fit = fits.newRidge(INPUTS, INPUTS, OUTPUTS)) {
      add(fit, 0, 25);
      add(fit, 25, TOKENS);

      Projection solved = fit.solve(projection(start, startBias), STRENGTH);

      float[] weight = solved.weight().toFloatArray();
      float[] bias = solved.bias().toFloatArray();
      for (int output = 0; output < OUTPUTS; output++) {
        for (int input = 0; input < INPUTS; input++) {
          assertEquals(expected[output][input], weight[output * INPUTS + input], 1e-5);
        }
        assertEquals(expected[output][INPUTS], bias[output], 1e-5);
      }
      assertEquals(error(weight, bias), fit.error(solved), 1e-4);
      assertEquals(error(start, startBias), fit.error(projection(start, startBias)), 1e-4);
    }
  }

  @Test
  void whatAlreadyFitsStaysAsItIs() {
    for (int token = 0; token < TOKENS; token++) {
      for (int output = 0; output < OUTPUTS; output++) {
        targets[token * OUTPUTS + output] = (float) predicted(start, startBias, token, output);
      }
    }
    try (RidgeFit fit = fits.newRidge(INPUTS, INPUTS, OUTPUTS)) {
      add(fit, 0, TOKENS);

      Projection solved = fit.solve(projection(start, startBias), 1e-9);

      assertArrayEquals(start, solved.weight().toFloatArray(), 1e-5f);
      assertArrayEquals(startBias, solved.bias().toFloatArray(), 1e-5f);
    }
  }

  /** Inputs that do not determine the weight: one column is twice another. */
  @Test
  void aSingularProblemIsSolvedNearTheStart() {
    for (int token = 0; token < TOKENS; token++) {
      inputs[token * INPUTS + 1] = 2 * inputs[token * INPUTS];
    }
    try (RidgeFit fit = fits.newRidge(INPUTS, INPUTS, OUTPUTS)) {
      add(fit, 0, TOKENS);
      Projection before = projection(start, startBias);

      Projection solved = fit.solve(before, 1e-12);

      assertTrue(fit.error(solved) < fit.error(before));
    }
  }

  /** More regularisation does not help where memory runs out or an argument is wrong. */
  @Test
  void onlyANumericalFailureIsTriedAgain() {
    List<Double> tried = new ArrayList<>();
    EngineException outOfMemory = new EngineException("DefaultCPUAllocator: can't allocate memory");
    assertSame(
        outOfMemory,
        assertThrows(
            EngineException.class,
            () ->
                RidgeFit.firstSolution(
                    0.5,
                    strength -> {
                      tried.add(strength);
                      throw outOfMemory;
                    })));
    assertEquals(List.of(0.5), tried);
    tried.clear();
    NDArray found =
        RidgeFit.firstSolution(
            0.5,
            strength -> {
              tried.add(strength);
              return manager.create(new float[strength > 10 ? 1 : 0]);
            });
    assertEquals(1, found.size());
    assertEquals(List.of(0.5, 5.0, 50.0), tried);
  }

  @Test
  void inputsWithoutASolutionAreRefused() {
    inputs[3] = Float.NaN;
    try (RidgeFit fit = fits.newRidge(INPUTS, INPUTS, OUTPUTS)) {
      add(fit, 0, TOKENS);
      assertThrows(
          ArithmeticException.class, () -> fit.solve(projection(start, startBias), STRENGTH));
    }
  }

  private void add(RidgeFit fit, int from, int to) {
    NDArray x = manager.create(inputs, new Shape(TOKENS, INPUTS)).get(from + ":" + to);
    NDArray y = manager.create(targets, new Shape(TOKENS, OUTPUTS)).get(from + ":" + to);
    NDArray w = manager.create(weights).get(from + ":" + to);
    fit.add(x.reshape(1, to - from, INPUTS), y.reshape(1, to - from, OUTPUTS), w);
  }

  private static Projection projection(float[] weight, float[] bias) {
    return new Projection(
        manager.create(weight, new Shape(OUTPUTS, INPUTS)).duplicate(),
        manager.create(bias).duplicate());
  }

  /** For each output the F weights, then the bias. */
  private double[][] closedForm() {
    double[][] solution = new double[OUTPUTS][];
    double mean = 0;
    for (int token = 0; token < TOKENS; token++) {
      for (int input = 0; input < INPUTS; input++) {
        mean += weights[token] * square(inputs[token * INPUTS + input]) / INPUTS;
      }
    }
    for (int output = 0; output < OUTPUTS; output++) {
      double[][] system = new double[INPUTS + 1][INPUTS + 2];
      for (int token = 0; token < TOKENS; token++) {
        for (int row = 0; row <= INPUTS; row++) {
          for (int column = 0; column <= INPUTS; column++) {
            system[row][column] += weights[token] * input(token, row) * input(token, column);
          }
          system[row][INPUTS + 1] +=
              weights[token] * input(token, row) * targets[token * OUTPUTS + output];
        }
      }
      for (int row = 0; row < INPUTS; row++) {
        system[row][row] += STRENGTH * mean;
        system[row][INPUTS + 1] += STRENGTH * mean * start[output * INPUTS + row];
      }
      solution[output] = eliminate(system);
    }
    return solution;
  }

  private static double[] eliminate(double[][] system) {
    int size = system.length;
    for (int pivot = 0; pivot < size; pivot++) {
      for (int row = 0; row < size; row++) {
        double factor = row == pivot ? 0 : system[row][pivot] / system[pivot][pivot];
        for (int column = pivot; column <= size; column++) {
          system[row][column] -= factor * system[pivot][column];
        }
      }
    }
    double[] solution = new double[size];
    for (int row = 0; row < size; row++) {
      solution[row] = system[row][size] / system[row][row];
    }
    return solution;
  }

  private double error(float[] weight, float[] bias) {
    double sum = 0;
    for (int token = 0; token < TOKENS; token++) {
      for (int output = 0; output < OUTPUTS; output++) {
        double difference =
            predicted(weight, bias, token, output) - targets[token * OUTPUTS + output];
        sum += weights[token] * square(difference);
      }
    }
    return sum;
  }

  private double predicted(float[] weight, float[] bias, int token, int output) {
    double sum = bias[output];
    for (int input = 0; input < INPUTS; input++) {
      sum += weight[output * INPUTS + input] * inputs[token * INPUTS + input];
    }
    return sum;
  }

  private double input(int token, int index) {
    return index == INPUTS ? 1 : inputs[token * INPUTS + index];
  }

  private static double square(double number) {
    return number * number;
  }

  private float[] normal(int count) {
    float[] numbers = new float[count];
    for (int index = 0; index < count; index++) {
      numbers[index] = (float) random.nextGaussian();
    }
    return numbers;
  }
}
