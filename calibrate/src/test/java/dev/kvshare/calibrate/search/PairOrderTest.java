package dev.kvshare.calibrate.search;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import java.util.HashSet;
import java.util.List;
import org.junit.jupiter.api.Test;

class PairOrderTest {
  /** Distances 5, 1, 3, 3, NaN, 7 of the pairs 1-0, 2-0, 2-1, 3-0, 3-1, 3-2. */
  private static final DistanceMatrix DISTANCES =
      new DistanceMatrix(
          new double[][] {{}, {6}, {1, 2}, {3, Double.NaN, 7}},
          new double[][] {{}, {4}, {1, 4}, {3, Double.NaN, 7}});

  @Test
  void dissimilarTriesTheFarthestFirstAndTiesByLayer() {
    assertEquals("32 10 21 30 20", order("kvsharer", 0));
  }

  @Test
  void similarTriesTheClosestFirstAndTiesByLayer() {
    assertEquals("20 21 30 10 32", order("similar", 0));
  }

  @Test
  void layerOrderGoesDownFromTheTopByAscendingGap() {
    assertEquals("32 21 10 20 30", order("layer-order", 0));
  }

  @Test
  void randomIsFixedByItsSeedAndCoversAllPairs() {
    assertEquals(order("random", 7), order("random", 7));
    HashSet<String> orders = new HashSet<>();
    for (int seed = 0; seed < 20; seed++) {
      String order = order("random", seed);
      orders.add(order);
      assertEquals(
          new HashSet<>(List.of("32", "10", "21", "30", "20")),
          new HashSet<>(List.of(order.split(" "))));
    }
    assertTrue(orders.size() > 10, orders.toString());
    assertNotEquals(order("random", 0), order("random", 1));
  }

  @Test
  void everyListedStrategyExistsUnderItsName() {
    for (String name : Method.NAMES) {
      assertEquals(name, Method.of(name, 0, false).methodName());
    }
    String message =
        assertThrows(CalibrationException.Usage.class, () -> Method.of("best", 0, false))
            .getMessage();
    assertEquals(
        "No method is called \"best\". Choose one of: auto, share, windows, kvsharer, similar, random,"
            + " layer-order.",
        message);
  }

  @Test
  void matrixRefusesRowsOfTheWrongLength() {
    double[][] square = {{0, 1}, {1, 0}};
    String message =
        assertThrows(IllegalArgumentException.class, () -> new DistanceMatrix(square, square))
            .getMessage();
    assertEquals("Row 0 of a lower triangle has 2 entries instead of 0", message);
  }

  private static String order(String strategy, long seed) {
    StringBuilder text = new StringBuilder();
    for (DistanceMatrix.Pair pair :
        ((PairOrder) Method.of(strategy, seed, false)).rank(DISTANCES)) {
      text.append(text.isEmpty() ? "" : " ").append(pair.layer()).append(pair.source());
    }
    return text.toString();
  }
}
