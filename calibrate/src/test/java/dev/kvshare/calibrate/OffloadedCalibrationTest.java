package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.SearchStrategy;
import java.util.List;
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
  @ValueSource(strings = {"dissimilar", "similar", "random", "layer-order", "greedy", "auto"})
  void everyStrategyGivesTheSamePolicy(String strategy) {
    assertSame(settings(3, 0.5).strategy(SearchStrategy.of(strategy, 3, false)).build());
  }

  @ParameterizedTest
  @CsvSource({"0.72, 2147483648", "0.72, 900000", "0.72, 150000", "0.72, 0", "0.9, 2147483648"})
  void refusalsAndLittleMemoryGiveTheSamePolicy(double threshold, long maxStateBytes) {
    assertSame(settings(3, threshold).maxStateBytes(maxStateBytes).build());
  }

  private static void assertSame(CalibrationSettings settings) {
    CalibrationResult expected = whole.calibrate(settings);
    CalibrationResult actual = offloaded.calibrate(settings);
    assertEquals(expected.outcome().tested(), actual.outcome().tested());
    assertArrayEquals(PolicyFile.toBytes(expected.policy()), PolicyFile.toBytes(actual.policy()));
  }

  /** All samples share a pass over the layers, and candidates that are refused do. */
  @Test
  void layersAreReadFarLessOftenThanTheyRun() {
    long before = offloaded.decoder().layerReads();
    CalibrationSettings refusing = settings(7, 1).maxBatchTokens(64).build();
    SearchOutcome outcome = offloaded.calibrate(refusing).outcome();
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
    CalibrationSettings settings = settings(3, 0.72).build();
    assertArrayEquals(policy(whole, samples, settings), policy(offloaded, samples, settings));
  }

  private static byte[] policy(TinyModel model, List<int[]> samples, CalibrationSettings settings) {
    return PolicyFile.toBytes(
        model
            .calibrator()
            .calibrate(KvSharerGolden.dataset(), samples, settings, CalibrationListener.NONE)
            .policy());
  }

  private static CalibrationSettings.Builder settings(int sharedLayers, double threshold) {
    return CalibrationSettings.builder()
        .budget(new KvBudget.SharedLayers(sharedLayers))
        .threshold(threshold);
  }
}
