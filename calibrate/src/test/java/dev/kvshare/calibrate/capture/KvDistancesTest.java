package dev.kvshare.calibrate.capture;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.calibrate.CalibrationException;
import org.junit.jupiter.api.Test;

class KvDistancesTest {

  @Test
  void averagesNormsOverHeadsAndPositions() {
    KvAverages averages = new KvAverages(2, 2);
    averages.add(0, new float[] {0, 0, 0, 0}, new float[] {1, 1, 1, 1});
    averages.add(1, new float[] {3, 4, 0, 2}, new float[] {1, 1, 1, 1});
    averages.add(1, new float[] {3, 4, 0, 2}, new float[] {1, 1, 1, 1});
    DistanceMatrix matrix = KvDistances.of(averages, 2);
    assertEquals((5 + 2) / 2.0, matrix.key(1, 0), 1e-6);
    assertEquals(Math.sqrt(0.5), matrix.value(1, 0), 1e-6);
    assertEquals((3.5 + Math.sqrt(0.5)) / 2, matrix.distance(1, 0), 1e-6);
  }

  @Test
  void samplesThatAreNotSummedStillCount() {
    KvAverages averages = new KvAverages(1, 4);
    averages.add(0, new float[] {8}, new float[] {4});
    assertEquals(2, averages.keys(0)[0]);
    assertEquals(1, averages.values(0)[0]);
  }

  @Test
  void differentlyShapedLayersHaveNoDistance() {
    KvAverages averages = new KvAverages(3, 1);
    averages.add(0, new float[] {1, 1}, new float[] {1, 1});
    averages.add(1, new float[] {1, 1, 1, 1}, new float[] {1, 1, 1, 1});
    averages.add(2, new float[] {1, 2}, new float[] {1, 1});
    DistanceMatrix matrix = KvDistances.of(averages, 2);
    assertEquals(1, matrix.pairs().size());
    assertEquals(new CandidatePair(2, 0, 0.5), matrix.pairs().get(0));
  }

  @Test
  void namesTheLayerOfANumberThatIsNotFinite() {
    KvAverages averages = new KvAverages(2, 1);
    averages.add(0, new float[] {1}, new float[] {1});
    averages.add(1, new float[] {1}, new float[] {Float.NaN});
    String message =
        assertThrows(CalibrationException.class, () -> KvDistances.of(averages, 1)).getMessage();
    assertTrue(message.startsWith("The averaged values of layer 1 hold NaN"), message);
  }
}
