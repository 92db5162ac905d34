package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.StatisticsFile;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.SearchStrategy;
import dev.kvshare.calibrate.search.SimilarOrder;
import dev.kvshare.calibrate.search.TestedCandidate;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CalibratorTest {
  private static TinyModel model;

  @TempDir private Path folder;

  @BeforeAll
  static void load() {
    model = TinyModel.open();
  }

  @AfterAll
  static void close() {
    model.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"equal_lengths", "one_short_sequence"})
  void batchesGiveTheSimilaritiesOfSamplesRunOneByOne(String set) {
    List<TestedCandidate> oneByOne = tested(set, settings(7, 0).maxBatchTokens(1).build());
    List<TestedCandidate> together = tested(set, settings(7, 0).build());
    assertEquals(oneByOne.size(), together.size());
    for (int i = 0; i < oneByOne.size(); i++) {
      assertEquals(oneByOne.get(i).map(), together.get(i).map());
      assertEquals(oneByOne.get(i).similarity(), together.get(i).similarity(), 1e-5);
    }
  }

  @Test
  void aCandidateThatCannotPassIsDroppedAtTheSameSampleInEveryBatchSize() {
    SearchOutcome oneByOne = model.calibrate(settings(3, 0.72).maxBatchTokens(1).build()).outcome();
    SearchOutcome together = model.calibrate(settings(3, 0.72).build()).outcome();
    assertEquals(samples(oneByOne), samples(together));
    assertTrue(oneByOne.work().evaluations() < together.work().evaluations());
    assertEquals(oneByOne.work().reference(), together.work().reference());
    assertTrue(oneByOne.accepted().stream().allMatch(tested -> tested.measured().isComplete()));
    assertTrue(oneByOne.rejected().stream().anyMatch(tested -> tested.measured().samples() < 6));
    for (TestedCandidate tested : oneByOne.rejected()) {
      assertTrue(tested.measured().upperBound() <= 0.72, tested.toString());
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 150_000, 900_000})
  void lessMemoryGivesTheSameNumbers(long maxStateBytes) {
    CalibrationSettings scarce = settings(3, 0.72).maxStateBytes(maxStateBytes).build();
    SearchOutcome little = model.calibrate(scarce).outcome();
    SearchOutcome plenty = model.calibrate(settings(3, 0.72).build()).outcome();
    assertEquals(plenty.tested(), little.tested());
    assertTrue(little.work().evaluations() > plenty.work().evaluations());
  }

  @Test
  void policyTellsWhereItCameFrom() {
    Policy policy = model.calibrate(settings(3, 0.72).seed(5).build()).policy();
    Provenance calibration = policy.calibration();
    assertEquals("dissimilar", calibration.method());
    assertEquals(0.72, calibration.threshold());
    assertEquals(5, calibration.seed());
    assertEquals(6, calibration.samples());
    assertEquals(64, calibration.tokensPerSample());
    assertEquals(KvSharerGolden.dataset(), calibration.dataset());
    assertEquals(2, calibration.accepted().size());
    assertEquals(19, calibration.rejected().size());
    assertEquals(SharingMap.of(0, 1, 1, 3, 4, 5, 6, 1), policy.map());
    assertEquals(2, calibration.accepted().get(0).layer());
    assertEquals(1, calibration.accepted().get(0).source());
    assertEquals(6, policy.map().ownedLayers());
  }

  @Test
  void twoRunsGiveEqualBytes() {
    byte[] first = PolicyFile.toBytes(model.calibrate(settings(3, 0.5).build()).policy());
    byte[] second = PolicyFile.toBytes(model.calibrate(settings(3, 0.5).build()).policy());
    assertArrayEquals(first, second);
  }

  @ParameterizedTest
  @ValueSource(strings = {"dissimilar", "similar", "random", "layer-order"})
  void everyStrategyReachesTheBudgetOfALowThreshold(String strategy) {
    CalibrationSettings settings =
        CalibrationSettings.builder()
            .strategy(SearchStrategy.of(strategy, 3, false))
            .budget(KvBudget.parse("0.5"))
            .threshold(-1)
            .build();
    CalibrationResult result = model.calibrate(settings);
    assertTrue(result.outcome().reached());
    assertEquals(4, result.policy().map().sharedLayers());
    assertEquals(strategy, result.policy().calibration().method());
    if (strategy.equals("layer-order")) {
      assertEquals(SharingMap.of(0, 1, 2, 3, 3, 3, 3, 3), result.policy().map());
    }
  }

  @Test
  void saysWhenTheSizeIsOutOfReach() {
    CalibrationResult result = model.calibrate(settings(3, 0.72).build());
    assertFalse(result.outcome().reached());
    assertEquals(2, result.policy().map().sharedLayers());
    assertTrue(
        result.summary().contains("less than asked for (3)")
            && result.summary().contains("closest map of that size had similarity 0.7"),
        result.summary());
  }

  @Test
  void statisticsServeOtherBudgetsWithoutTheText() {
    CalibrationResult direct = model.calibrate(settings(3, 0.5).build());
    Path file = folder.resolve("policy.stats.safetensors");
    StatisticsFile.write(model.calibrate(settings(2, 0.3).build()).statistics(), file);
    CalibrationResult fromFile =
        model
            .calibrator()
            .search(StatisticsFile.read(file), settings(3, 0.5).build(), CalibrationListener.NONE);
    assertArrayEquals(PolicyFile.toBytes(direct.policy()), PolicyFile.toBytes(fromFile.policy()));
    assertTrue(fromFile.outcome().work().evaluations() <= direct.outcome().work().evaluations());
  }

  @Test
  void statisticsOfAnotherModelAreRefused() {
    KvStatistics own = model.calibrate(settings(0, 0.5).build()).statistics();
    ModelIdentity other = new ModelIdentity("llama", 8, 4, 2, 16, "sha256:" + "1".repeat(64));
    KvStatistics foreign =
        new KvStatistics(other, own.dataset(), own.samples(), own.distances(), own.lastHidden());
    String message =
        assertThrows(
                CalibrationException.class,
                () ->
                    model
                        .calibrator()
                        .search(foreign, settings(1, 0.5).build(), CalibrationListener.NONE))
            .getMessage();
    assertTrue(message.startsWith("The statistics are of another model"), message);
  }

  @Test
  void anInterruptedSearchGoesOnWithTheSameResult() throws IOException {
    byte[] expected = PolicyFile.toBytes(model.calibrate(settings(3, 0.72).build()).policy());
    Path journal = folder.resolve("policy.journal");
    CalibrationListener interrupting =
        progress -> {
          if (progress.phase() == CalibrationListener.Phase.SEARCH && progress.done() == 9) {
            Thread.currentThread().interrupt();
          }
        };
    CalibrationSettings settings = settings(3, 0.72).journal(journal).build();
    assertThrows(
        CalibrationInterruptedException.class, () -> model.calibrate(settings, interrupting));
    assertFalse(Thread.currentThread().isInterrupted());
    long lines = Files.readString(journal).lines().count();
    assertTrue(lines > 5, Files.readString(journal));
    // What a kill in the middle of a line leaves.
    Files.writeString(journal, Files.readString(journal) + "{\"kv_source\":[0,1");

    List<String> warnings = new ArrayList<>();
    CalibrationResult resumed =
        model.calibrate(
            settings(3, 0.72).journal(journal).resume(true).build(), collecting(warnings));
    assertArrayEquals(expected, PolicyFile.toBytes(resumed.policy()));
    assertEquals(22, Files.readString(journal).lines().count());
    assertEquals(List.of(), warnings);

    model.calibrate(settings, collecting(warnings));
    assertTrue(warnings.get(0).contains("--resume would have gone on"), warnings.toString());
  }

  @Test
  void aJournalOfOtherSettingsIsRefused() throws IOException {
    Path journal = folder.resolve("policy.journal");
    model.calibrate(settings(2, 0.3).journal(journal).build());
    assertRefused(settings(2, 0.4).journal(journal), "threshold is 0.3 there and 0.4 now");
    assertRefused(settings(3, 0.3).journal(journal), "share_layers is 2 there and 3 now");
    assertRefused(
        settings(2, 0.3).strategy(new SimilarOrder()).journal(journal),
        "strategy is \"dissimilar\" there and \"similar\" now");
    String whole = Files.readString(journal);
    Files.writeString(journal, whole.replace("\"kv_source\":[0,1,1,", "\"kv_source\":[0,1,2,"));
    assertRefused(settings(2, 0.3).journal(journal), "its test number 1 is of 8 layers");
    Files.writeString(journal, whole.replace("\"similarity\"", "\"similar\""));
    assertRefused(settings(2, 0.3).journal(journal), "line 2 is not what a search writes");
    Files.writeString(journal, "{\"schema\":\"kvshare.journal/9\"}\n");
    assertRefused(settings(2, 0.3).journal(journal), "schema is \"kvshare.journal/9\" there");
    Files.writeString(journal, "what is this\n");
    assertRefused(settings(2, 0.3).journal(journal), "line 1 is not what a search writes");
  }

  @Test
  void refusesSamplesThatTheModelCannotRun() {
    assertUsage(List.of(), "There is no calibration sample");
    assertUsage(List.of(new int[] {1}, new int[] {}), "Sample 1 has 0 tokens");
    assertUsage(List.of(new int[] {1, 256}), "Sample 0 has token 256");
    assertUsage(List.of(new int[] {-1}), "Sample 0 has token -1");
    assertUsage(List.of(new int[513]), "Sample 0 has 513 tokens, but the model takes 1 to 512");
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void manyCandidatesDoNotGrowTheProcess() throws IOException {
    KvStatistics statistics = model.calibrate(settings(0, 1).build()).statistics();
    CalibrationSettings rejecting = settings(7, 1).build();
    for (int search = 0; search < 2; search++) {
      model.calibrator().search(statistics, rejecting, CalibrationListener.NONE);
    }
    long before = residentBytes();
    int candidates = 0;
    for (int search = 0; search < 8; search++) {
      candidates +=
          model
              .calibrator()
              .search(statistics, rejecting, CalibrationListener.NONE)
              .outcome()
              .tested()
              .size();
    }
    assertEquals(8 * 28, candidates);
    // A leak of the hidden states alone would be 170 MB.
    long growth = residentBytes() - before;
    assertTrue(growth < 80_000_000, "grew by " + growth + " bytes");
  }

  private static long residentBytes() throws IOException {
    return 4096 * Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ", 3)[1]);
  }

  private static CalibrationSettings.Builder settings(int sharedLayers, double threshold) {
    return CalibrationSettings.builder()
        .budget(new KvBudget.SharedLayers(sharedLayers))
        .threshold(threshold);
  }

  private static List<Integer> samples(SearchOutcome outcome) {
    return outcome.tested().stream().map(tested -> tested.measured().samples()).toList();
  }

  private static List<TestedCandidate> tested(String set, CalibrationSettings settings) {
    return model
        .calibrator()
        .calibrate(
            KvSharerGolden.dataset(), TinyModel.samples(set), settings, CalibrationListener.NONE)
        .outcome()
        .tested();
  }

  private static CalibrationListener collecting(List<String> warnings) {
    return new CalibrationListener() {
      @Override
      public void progressed(Progress progress) {
        assertTrue(progress.done() <= progress.total(), progress.toString());
      }

      @Override
      public void warned(String message) {
        warnings.add(message);
      }
    };
  }

  private static void assertRefused(CalibrationSettings.Builder settings, String part) {
    CalibrationSettings resuming = settings.resume(true).build();
    String message =
        assertThrows(CalibrationException.class, () -> model.calibrate(resuming)).getMessage();
    assertTrue(message.contains(part), message);
  }

  private static void assertUsage(List<int[]> samples, String part) {
    CalibrationSettings settings = settings(1, 0.5).build();
    String message =
        assertThrows(
                CalibrationUsageException.class,
                () ->
                    model
                        .calibrator()
                        .calibrate(
                            KvSharerGolden.dataset(), samples, settings, CalibrationListener.NONE))
            .getMessage();
    assertTrue(message.contains(part), message);
  }
}
