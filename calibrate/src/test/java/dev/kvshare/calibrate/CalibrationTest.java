package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecoderOptions.WeightForm;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import dev.kvshare.apply.model.storage.OutputLock;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.capture.CalibrationListener;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.StatisticsFile;
import dev.kvshare.calibrate.repair.ResidentMemory;
import dev.kvshare.calibrate.search.SearchOutcome;
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
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CalibrationTest {
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
    List<SearchOutcome.Tested> oneByOne = tested(set, 1);
    List<SearchOutcome.Tested> together = tested(set, 512);
    assertEquals(oneByOne.size(), together.size());
    for (int i = 0; i < oneByOne.size(); i++) {
      assertEquals(oneByOne.get(i).map(), together.get(i).map());
      assertEquals(oneByOne.get(i).similarity(), together.get(i).similarity(), 1e-5);
    }
  }

  @Test
  void aCandidateThatCannotPassIsDroppedAtTheSameSampleInEveryBatchSize() {
    SearchOutcome oneByOne = settings(3, 0.72).batchTokens(1).run().outcome();
    SearchOutcome together = settings(3, 0.72).run().outcome();
    assertEquals(samples(oneByOne), samples(together));
    assertTrue(oneByOne.work().evaluations() < together.work().evaluations());
    assertEquals(oneByOne.work().reference(), together.work().reference());
    assertTrue(oneByOne.accepted().stream().allMatch(tested -> tested.measured().isComplete()));
    assertTrue(oneByOne.rejected().stream().anyMatch(tested -> tested.measured().samples() < 6));
    for (SearchOutcome.Tested tested : oneByOne.rejected()) {
      assertTrue(tested.measured().upperBound() <= 0.72, tested.toString());
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 150_000, 900_000})
  void lessMemoryGivesTheSameNumbers(long maxStateBytes) {
    SearchOutcome little = settings(3, 0.72).batchMemory(maxStateBytes).run().outcome();
    SearchOutcome plenty = settings(3, 0.72).run().outcome();
    assertEquals(plenty.tested(), little.tested());
    assertTrue(little.work().evaluations() > plenty.work().evaluations());
  }

  @Test
  void policyTellsWhereItCameFrom() {
    Policy policy = settings(3, 0.72).seed(5).run().policy();
    Provenance calibration = policy.calibration();
    assertEquals("kvsharer", calibration.method());
    assertEquals(0.72, calibration.threshold());
    assertEquals(5, calibration.seed());
    assertEquals("float32", calibration.dtype());
    assertTrue(calibration.threads() >= 1, "threads " + calibration.threads());
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
    byte[] first = PolicyFile.toBytes(settings(3, 0.5).run().policy());
    byte[] second = PolicyFile.toBytes(settings(3, 0.5).run().policy());
    assertArrayEquals(first, second);
  }

  @ParameterizedTest
  @ValueSource(strings = {"kvsharer", "similar", "random", "layer-order"})
  void everyOrderReachesTheSizeWithALowThreshold(String method) {
    CalibrationResult result =
        model.calibration().method(method).seed(3).keep("50%").threshold(-1).run();
    assertTrue(result.reached());
    assertNull(result.weights());
    assertEquals(4, result.policy().map().sharedLayers());
    assertEquals(method, result.policy().calibration().method());
    if (method.equals("layer-order")) {
      assertEquals(SharingMap.of(0, 1, 2, 3, 3, 3, 3, 3), result.policy().map());
    }
  }

  @Test
  void saysWhenTheSizeIsOutOfReach() {
    CalibrationResult result = settings(3, 0.72).run();
    assertFalse(result.outcome().reached());
    assertEquals(2, result.policy().map().sharedLayers());
    assertTrue(
        result.summary().contains("less than asked for (3)")
            && result.summary().contains("closest map of that size had similarity 0.7"),
        result.summary());
  }

  @Test
  void statisticsServeOtherBudgetsWithoutTheText() {
    CalibrationResult direct = settings(3, 0.5).run();
    Path file = folder.resolve("policy.stats.safetensors");
    StatisticsFile.write(settings(2, 0.3).run().statistics(), file);
    CalibrationResult fromFile = settings(3, 0.5).text(null).statistics(file).run();
    assertArrayEquals(PolicyFile.toBytes(direct.policy()), PolicyFile.toBytes(fromFile.policy()));
    assertTrue(fromFile.outcome().work().evaluations() <= direct.outcome().work().evaluations());
  }

  @Test
  void statisticsOfAnotherModelAreRefused() {
    KvStatistics own = settings(0, 0.5).run().statistics();
    ModelIdentity other = new ModelIdentity("llama", 8, 4, 2, 16, "sha256:" + "1".repeat(64));
    KvStatistics foreign =
        new KvStatistics(
            other, own.key(), own.dataset(), own.samples(), own.distances(), own.lastHidden());
    String message =
        assertThrows(CalibrationException.class, () -> settings(1, 0.5).statistics(foreign).run())
            .getMessage();
    assertTrue(message.startsWith("The statistics are of another model"), message);
  }

  @Test
  void anInterruptedSearchGoesOnWithTheSameResult() throws IOException {
    byte[] expected = PolicyFile.toBytes(settings(3, 0.72).run().policy());
    Path journal = folder.resolve("policy.journal");
    CalibrationListener interrupting =
        progress -> {
          if (progress.phase() == CalibrationListener.Phase.SEARCH && progress.done() == 9) {
            Thread.currentThread().interrupt();
          }
        };
    Calibration settings = settings(3, 0.72).journal(journal);
    assertThrows(
        CalibrationException.Interrupted.class, () -> settings.listener(interrupting).run());
    assertFalse(Thread.currentThread().isInterrupted());
    long lines = Files.readString(journal).lines().count();
    assertTrue(lines > 5, Files.readString(journal));
    // What a kill in the middle of a line leaves.
    Files.writeString(journal, Files.readString(journal) + "{\"kv_source\":[0,1");

    List<String> warnings = new ArrayList<>();
    CalibrationResult resumed =
        settings(3, 0.72).journal(journal).resume(true).listener(collecting(warnings)).run();
    assertArrayEquals(expected, PolicyFile.toBytes(resumed.policy()));
    assertEquals(22, Files.readString(journal).lines().count());
    assertEquals(List.of(), warnings);

    settings.listener(collecting(warnings)).run();
    assertTrue(warnings.get(0).contains("--resume would have gone on"), warnings.toString());
  }

  @Test
  void twoRunsDoNotWriteTheSameJournal() throws IOException {
    Path journal = folder.resolve("policy.journal");
    Files.writeString(journal, "of the run that goes on");
    try (OutputLock other = OutputLock.of(journal)) {
      String message =
          assertThrows(OutputException.class, () -> settings(2, 0.3).journal(journal).run())
              .getMessage();
      assertTrue(message.contains("Another run is writing " + journal), message);
      assertEquals("of the run that goes on", Files.readString(journal));
      assertNotNull(other);
    }
    settings(2, 0.3).journal(journal).run();
  }

  /** What is said where a later one of several files cannot be written. */
  @Test
  void saysWhatWasWrittenBefore() {
    Path policy = folder.resolve("policy.json");
    CalibrationResult result = settings(2, 0.3).run();
    String message =
        assertThrows(
                OutputException.class,
                () -> result.write(policy, folder.resolve("no/report.html"), null))
            .getMessage();
    assertTrue(message.startsWith("The policy " + policy + " is written"), message);
    assertEquals(result.policy(), PolicyFile.read(policy));
  }

  @Test
  void aJournalOfOtherSettingsIsRefused() throws IOException {
    Path journal = folder.resolve("policy.journal");
    settings(2, 0.3).journal(journal).run();
    assertRefused(settings(2, 0.4).journal(journal), "threshold is 0.3 there and 0.4 now");
    assertRefused(settings(3, 0.3).journal(journal), "share_layers is 2 there and 3 now");
    assertRefused(
        settings(2, 0.3).method("similar").journal(journal),
        "method is \"kvsharer\" there and \"similar\" now");
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

  /** What was measured in another number format, or with other weights, says nothing here. */
  @Test
  void statisticsAndJournalsOfAnotherNumberFormatAreRefused() {
    Path journal = folder.resolve("policy.journal");
    Path file = folder.resolve("policy.stats.safetensors");
    StatisticsFile.write(settings(2, 0.3).journal(journal).run().statistics(), file);
    DecoderOptions bfloat16 = new DecoderOptions("cpu", ComputeType.BFLOAT16, 1);
    for (DecoderOptions options :
        List.of(bfloat16, TinyModel.OPTIONS.withWeights(WeightForm.INT8))) {
      try (TinyModel other = TinyModel.open(KvSharerGolden.path("tiny_llama"), options)) {
        Calibration again = other.calibration().keep(new Keep.SharedLayers(2)).threshold(0.3);
        assertRefused(again.journal(journal), "model is ");
        assertRefused(
            again.journal(null).resume(false).statistics(file),
            "The statistics were measured otherwise than this run computes");
      }
    }
  }

  @Test
  void resumingWithoutAJournalSaysSo() {
    List<String> notes = new ArrayList<>();
    settings(2, 0.3)
        .journal(folder.resolve("none.journal"))
        .resume(true)
        .listener(
            new CalibrationListener() {
              @Override
              public void progressed(Progress progress) {}

              @Override
              public void noted(String message) {
                notes.add(message);
              }
            })
        .run();
    assertTrue(
        notes.stream().anyMatch(note -> note.contains("none.journal to resume from")),
        notes.toString());
  }

  /** A plan that was chosen by hand becomes a policy as a whole. */
  @Test
  void aGivenPlanIsMeasuredAndRepaired() {
    Policy windows = given(0);
    Policy sinks = given(3);
    assertEquals(plan(3), sinks.plan());
    assertEquals(plan(0), windows.plan());
    assertEquals(6, sinks.model().kvUse(sinks.plan()).wholeTextLayers());
    assertEquals("by-hand", sinks.calibration().method());
    assertNotEquals(windows.calibration().similarity(), sinks.calibration().similarity());
    assertTrue(sinks.validation().divergence() < sinks.validation().plainDivergence());
    assertNull(windows.validation());
  }

  private static Policy given(int sinks) {
    Calibration calibration = model.calibration().plan("by-hand", layers -> plan(sinks));
    return (sinks == 0 ? calibration.repair(null) : calibration).run().policy();
  }

  private static Plan plan(int sinks) {
    SharingMap map = SharingMap.identity(8).withShared(5, 4);
    return Plan.of(map).withWindows(Plan.Windows.of(List.of(2, 4), sinks, 4));
  }

  /** The methods that are kvshare's own compute prompts exactly, the papers' under the plan. */
  @ParameterizedTest
  @CsvSource({"share, EXACT", "kvsharer, PLAN", "cla-2, PLAN"})
  void promptsAreComputedAsTheMethodHasIt(String method, Prefill usual) {
    Calibration calibration =
        model.calibration().method(method).keep("6layers").threshold(-1).repair(null);
    assertEquals(usual, calibration.run().policy().plan().prefill());
    Prefill other = usual == Prefill.EXACT ? Prefill.PLAN : Prefill.EXACT;
    assertEquals(other, calibration.prefill(other).run().policy().plan().prefill());
    Calibration top = model.calibration().method(method).keep("6layers").threshold(-1);
    assertEquals(Prefill.PLAN, top.repair(null).preferTop(true).run().policy().plan().prefill());
  }

  @Test
  void schemesGoByTheNamesOfTheirPapers() {
    CalibrationResult result = model.calibration().method("cla-2").run();
    assertEquals(SharingMap.of(0, 0, 2, 2, 4, 4, 6, 6), result.policy().map());
    assertEquals("cla-2", result.policy().calibration().method());
    assertTrue(result.reached());
    Calibration unknown = model.calibration().method("best");
    String message = assertThrows(CalibrationException.Usage.class, unknown::run).getMessage();
    assertTrue(message.contains("auto, share, windows, kvsharer, similar"), message);
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
  void manyCandidatesDoNotGrowTheProcess() {
    KvStatistics statistics = settings(0, 1).run().statistics();
    Calibration rejecting = settings(7, 1).statistics(statistics);
    for (int search = 0; search < 2; search++) {
      rejecting.run();
    }
    long before = ResidentMemory.bytes();
    int candidates = 0;
    for (int search = 0; search < 8; search++) {
      candidates += rejecting.run().outcome().tested().size();
    }
    assertEquals(8 * 28, candidates);
    // A leak of the hidden states alone would be 170 MB.
    long growth = ResidentMemory.bytes() - before;
    assertTrue(growth < 80_000_000, "grew by " + growth + " bytes");
  }

  private static Calibration settings(int sharedLayers, double threshold) {
    return model.calibration().keep(new Keep.SharedLayers(sharedLayers)).threshold(threshold);
  }

  private static List<Integer> samples(SearchOutcome outcome) {
    return outcome.tested().stream().map(tested -> tested.measured().samples()).toList();
  }

  private static List<SearchOutcome.Tested> tested(String set, int batchTokens) {
    return settings(7, 0)
        .text(TinyModel.corpus(TinyModel.samples(set)))
        .batchTokens(batchTokens)
        .run()
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

  private static void assertRefused(Calibration settings, String part) {
    settings.resume(true);
    String message = assertThrows(CalibrationException.class, settings::run).getMessage();
    assertTrue(message.contains(part), message);
  }

  private static void assertUsage(List<int[]> samples, String part) {
    Calibration settings = settings(1, 0.5).text(TinyModel.corpus(samples));
    String message = assertThrows(CalibrationException.Usage.class, settings::run).getMessage();
    assertTrue(message.contains(part), message);
  }
}
