package dev.kvshare.calibrate.capture;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class KvDistancesTest {

  @Test
  void averagesNormsOverHeadsAndPositions() {
    KvDistances sums = new KvDistances(2, 2);
    sums.add(0, new float[] {0, 0, 0, 0}, new float[] {1, 1, 1, 1});
    sums.add(1, new float[] {3, 4, 0, 2}, new float[] {1, 1, 1, 1});
    sums.add(1, new float[] {3, 4, 0, 2}, new float[] {1, 1, 1, 1});
    DistanceMatrix matrix = sums.matrix(2);
    assertEquals((5 + 2) / 2.0, matrix.key(1, 0), 1e-6);
    assertEquals(Math.sqrt(0.5), matrix.value(1, 0), 1e-6);
    assertEquals((3.5 + Math.sqrt(0.5)) / 2, matrix.distance(1, 0), 1e-6);
  }

  @Test
  void samplesThatAreNotSummedStillCount() {
    KvDistances sums = new KvDistances(2, 4);
    sums.add(0, new float[] {8}, new float[] {4});
    sums.add(1, new float[] {0}, new float[] {0});
    assertEquals(2, sums.matrix(1).key(1, 0));
    assertEquals(1, sums.matrix(1).value(1, 0));
  }

  @Test
  void differentlyShapedLayersHaveNoDistance() {
    KvDistances sums = new KvDistances(3, 1);
    sums.add(0, new float[] {1, 1}, new float[] {1, 1});
    sums.add(1, new float[] {1, 1, 1, 1}, new float[] {1, 1, 1, 1});
    sums.add(2, new float[] {1, 2}, new float[] {1, 1});
    DistanceMatrix matrix = sums.matrix(2);
    assertEquals(1, matrix.pairs().size());
    assertEquals(new DistanceMatrix.Pair(2, 0, 0.5), matrix.pairs().get(0));
  }

  @Test
  void namesTheLayerOfANumberThatIsNotFinite() {
    KvDistances sums = new KvDistances(2, 1);
    sums.add(0, new float[] {1}, new float[] {1});
    sums.add(1, new float[] {1}, new float[] {Float.NaN});
    String message = assertThrows(CalibrationException.class, () -> sums.matrix(1)).getMessage();
    assertTrue(message.startsWith("The averaged values of layer 1 hold NaN"), message);
  }
}
