package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.calibrate.search.SearchOutcome;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A calibration with one layer in memory finds what one with all of them finds. */
@Tag("numerics")
class OffloadedCalibrationTest {
  private static TinyModel whole;
  private static TinyModel offloaded;

  @BeforeAll
  static void load() {
    whole = TinyModel.open();
    offloaded = TinyModel.open(KvSharerGolden.path("tiny_llama"), WeightResidency.ONE_LAYER);
  }

  @AfterAll
  static void close() {
    whole.close();
    offloaded.close();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"kvsharer", "similar", "random", "layer-order", "windows", "share", "auto"})
  void everyMethodGivesTheSamePolicy(String method) {
    assertSame(
        model -> {
          Calibration calibration = settings(model, 3, 0.5).method(method).seed(3).window(2, 8);
          return method.equals("windows")
              ? calibration.keep(new Keep.WindowedLayers(3))
              : calibration;
        });
  }

  @ParameterizedTest
  @CsvSource({"0.72, 2147483648", "0.72, 900000", "0.72, 150000", "0.72, 0", "0.9, 2147483648"})
  void refusalsAndLittleMemoryGiveTheSamePolicy(double threshold, long maxStateBytes) {
    assertSame(model -> settings(model, 3, threshold).batchMemory(maxStateBytes));
  }

  private static void assertSame(Function<TinyModel, Calibration> settings) {
    CalibrationResult expected = settings.apply(whole).run();
    CalibrationResult actual = settings.apply(offloaded).run();
    assertEquals(expected.outcome().tested(), actual.outcome().tested());
    assertArrayEquals(PolicyFile.toBytes(expected.policy()), PolicyFile.toBytes(actual.policy()));
  }

  /** All samples share a pass over the layers, and candidates that are refused do. */
  @Test
  void layersAreReadFarLessOftenThanTheyRun() {
    long before = offloaded.decoder().layerReads();
    SearchOutcome outcome = settings(offloaded, 7, 1).batchTokens(64).run().outcome();
    long reads = offloaded.decoder().layerReads() - before;
    assertEquals(28, outcome.tested().size());
    // One pass of the unshared model, then passes of 1, 2, 4, 8, 8 and 5 candidates.
    assertTrue(reads <= 7 * 8, "read " + reads + " layers");
    long candidateByCandidate = outcome.work().evaluations() / TinyModel.samples().size();
    assertTrue(reads < candidateByCandidate / 2, reads + " of " + candidateByCandidate);
  }

  @Test
  void samplesOfDifferentLengthsGiveTheSamePolicy() {
    List<int[]> samples = TinyModel.samples("one_short_sequence");
    assertArrayEquals(policy(whole, samples), policy(offloaded, samples));
  }

  private static byte[] policy(TinyModel model, List<int[]> samples) {
    return PolicyFile.toBytes(
        settings(model, 3, 0.72).text(TinyModel.corpus(samples)).run().policy());
  }

  private static Calibration settings(TinyModel model, int sharedLayers, double threshold) {
    return model.calibration().keep(new Keep.SharedLayers(sharedLayers)).threshold(threshold);
  }
}
