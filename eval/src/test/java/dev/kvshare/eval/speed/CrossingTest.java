package dev.kvshare.eval.speed;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.eval.speed.Crossing.Place;
import java.util.List;
import org.junit.jupiter.api.Test;

class CrossingTest {
  private static final List<Integer> CONTEXTS = List.of(512, 2048, 8192);

  private static final double[] UNSHARED = {1, 1, 1};

  private static Crossing of(double... seconds) {
    return Crossing.of(CONTEXTS, UNSHARED, seconds);
  }

  @Test
  void theLengthIsInterpolatedBetweenMeasuredContexts() {
    // 2 % less is the bound: 0.04 above it at 2,048 tokens and 0.08 below it at 8,192.
    Crossing found = of(1.10, 1.02, 0.90);

    assertEquals(Place.FROM, found.place());
    assertEquals(4096, found.fromTokens(), 1e-6);
    assertEquals(List.of(8192), found.faster());
    assertEquals(
        "faster from about 4,100 tokens on; below that it does not pay in time", found.words());
  }

  @Test
  void aPolicyMayPayEverywhereOrNowhere() {
    assertEquals(new Crossing(Place.EVERYWHERE, Double.NaN, CONTEXTS), of(0.9, 0.8, 0.5));
    assertEquals(new Crossing(Place.NEVER, Double.NaN, List.of()), of(1.1, 1.0, 0.99));
    assertEquals("never faster; it does not pay in time", of(1.1, 1.0, 0.99).words());
  }

  /** What is lost again on the longest context is not a crossing point. */
  @Test
  void theLongestContextDecides() {
    Crossing found = of(0.9, 0.9, 1.1);

    assertEquals(Place.SOMEWHERE, found.place());
    assertTrue(found.words().contains("only at 512 and 2,048 tokens"), found.words());
    assertEquals(List.of(512, 8192), of(0.9, 1.1, 0.9).faster());
    assertEquals(Place.FROM, of(0.9, 1.1, 0.9).place());
  }
}
