package dev.kvshare.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.engine.Engine;
import ai.djl.ndarray.BaseNDManager;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.H2o;
import dev.kvshare.apply.cache.SnapKv;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Windows;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Dataset;
import dev.kvshare.datasets.DatasetException;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.quality.Journal;
import dev.kvshare.eval.quality.PassageScore;
import dev.kvshare.eval.quality.PassageScore.Estimate;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.speed.SpeedMeter.Settings;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@Tag("numerics")
class EvaluatorTest {
  private static final String SHA = "ab".repeat(32);

  /** Measured by transformers: see src/test/python/tiny_llama_perplexity.py. */
  private static final double REFERENCE_PERPLEXITY = 428.6512825702722;

  private static final double REFERENCE_STANDARD_ERROR = 55.28476277858715;

  private static final double STRIDED_PERPLEXITY = 471.465975094814;

  private static LoadedModel model;
  private static Decoder decoder;

  @TempDir Path folder;

  @BeforeAll
  static void load() {
    model = Goldens.model("architectures/llama");
    decoder = model.decoder();
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static Corpus tokens(int count) {
    int[] ids = IntStream.range(0, count).map(i -> (i * i * 7 + i * 13 + 5) % 253 + 3).toArray();
    return new Corpus.Tokens("t", SHA, List.of(ids));
  }

  private static EvaluatedPolicy policy(String name, int... source) {
    return new EvaluatedPolicy(
        name, Policy.of(ModelIdentity.ofLayers(source.length), Plan.of(SharingMap.of(source))));
  }

  private Evaluator evaluator(
      Corpus corpus, int passageTokens, List<EvaluatedPolicy> policies, Settings speed) {
    return Evaluator.of(model)
        .text(corpus)
        .passages(6, passageTokens)
        .policies(policies)
        .baselines(false)
        .speed(speed)
        .datasets(new Datasets(folder));
  }

  private EvaluationReport evaluate(
      Corpus corpus, int passageTokens, List<EvaluatedPolicy> policies, Settings speed) {
    return evaluator(corpus, passageTokens, policies, speed).run();
  }

  @Test
  void policiesThatRunAlikeAreMeasuredOnce() {
    List<EvaluatedPolicy> policies =
        List.of(policy("one", 0, 0, 2, 2), policy("two", 0, 0, 2, 2), policy("three", 0, 1, 1, 1));
    List<Row> rows = evaluate(tokens(32), 16, policies, new Settings(8, 1, 1)).rows();

    assertEquals("two", rows.get(2).policy());
    assertEquals(rows.get(1).with("two", rows.get(1).speed()), rows.get(2));
    // Two measurements of time are never the same to the nanosecond.
    assertEquals(rows.get(1).speed(), rows.get(2).speed());
    assertNotEquals(rows.get(1).speed(), rows.get(3).speed());
  }

  @Test
  void perplexityIsThatOfTransformers() {
    EvaluationReport report = evaluate(tokens(101), 16, List.of(), null);
    Row row = report.rows().get(0);

    assertEquals(1, report.rows().size());
    assertEquals(REFERENCE_PERPLEXITY, row.perplexity().value(), 1e-3);
    assertEquals(REFERENCE_STANDARD_ERROR, row.perplexity().standardError(), 1e-3);
    assertNull(row.policy());
    assertEquals(new Estimate(1, 0), row.ratio());
    assertEquals(0, row.divergence(), 1e-9);
    assertEquals(1, row.agreement());
    assertEquals(1, row.kvFraction());
    assertEquals(4 * 2 * 2 * 16 * 4, row.kvBytesPerToken());
    assertNull(row.speed());
    assertEquals(List.of(), report.warnings());
  }

  /**
   * At most the bytes of the policy, and as few more bytes saved as the kind of baseline allows.
   */
  @Test
  void baselinesOfEqualBytesStandBelowThePolicies() {
    Plan plan = Plan.identity(4).withWindows(Windows.of(List.of(0, 1), 1, 7));
    EvaluatedPolicy policy = new EvaluatedPolicy("p", Policy.of(ModelIdentity.ofLayers(4), plan));
    EvaluationReport report =
        evaluator(tokens(96), 32, List.of(policy), new Settings(8, 1, 1)).baselines(true).run();
    List<Row> rows = report.rows();

    assertEquals(
        List.of(
            "p",
            "baseline spread-low-2",
            "baseline spread-high-2",
            "baseline random-2",
            "baseline streaming-1+19",
            "baseline int8",
            "baseline int4"),
        rows.stream().skip(1).map(Row::policy).toList());
    for (Row row : rows.subList(2, 6)) {
      assertEquals(rows.get(1).kvFraction(), row.kvFraction(), 1e-9);
      assertTrue(row.divergence() > 0);
      assertNull(row.speed());
    }
    // A byte and a float32 scale for each 16 numbers of four bytes.
    assertEquals((16 + 4) / 64.0, rows.get(6).kvFraction(), 1e-9);
    assertTrue(rows.get(6).divergence() < 0.01);
    // Half a byte.
    assertEquals((8 + 4) / 64.0, rows.get(7).kvFraction(), 1e-9);
    assertTrue(rows.get(7).divergence() > rows.get(6).divergence());
    List<String> notes = report.report().notes();
    assertEquals(2, notes.size());
    assertTrue(notes.get(1).startsWith("p: a simple baseline wins, int8 keeps"), notes.get(1));
    Row near =
        new Row("p", rows.get(0).perplexity(), rows.get(0).ratio(), 1e-9, 1, 0.7, 1, null, null);
    assertTrue(
        Baselines.words(List.of(rows.get(0), near, rows.get(4)))
            .get(0)
            .startsWith("p: no baseline that keeps as little is as near"));
  }

  @Test
  void overlappingPassagesScoreAsTransformersDoesByStrides() {
    EvaluationReport report = evaluator(tokens(96), 32, List.of(), null).stride(12).run();
    Row row = report.rows().get(0);

    assertEquals(6, report.protocol().passages().passages().size());
    assertEquals(31 + 5 * 12, report.protocol().scoredTokens());
    assertEquals(STRIDED_PERPLEXITY, row.perplexity().value(), 1e-3);
  }

  /** What the journal has is not measured again; a last line that was cut off is. */
  @Test
  void goesOnWhereAKilledRunStopped() throws IOException {
    Path journal = folder.resolve("journal.jsonl");
    List<EvaluatedPolicy> policies = List.of(policy("shared", 0, 0, 2, 2));
    Evaluator evaluator = evaluator(tokens(96), 32, policies, null).stride(12);
    List<Row> whole = evaluator.run().rows();
    assertEquals(whole, evaluator.journal(journal).run().rows());
    List<String> lines = Files.readAllLines(journal);
    assertEquals(3, lines.size());

    Files.writeString(journal, lines.get(0) + "\n" + lines.get(1) + "\n" + lines.get(2));
    assertEquals(whole, evaluator.run().rows());
    assertEquals(lines, Files.readAllLines(journal));
    Files.writeString(
        journal, String.join("\n", lines).replace("\"agreements\":", "\"agreements\":100") + "\n");
    assertTrue(evaluator.run().rows().get(1).agreement() > 1);

    EvaluationException refused =
        assertThrows(EvaluationException.class, () -> evaluator.stride(11).run());
    assertTrue(
        refused.getMessage().contains("is the journal of another evaluation"),
        refused.getMessage());
  }

  @Test
  void comparesPoliciesWithTheUnsharedModel() {
    EvaluationReport report =
        evaluate(
            tokens(96),
            16,
            List.of(policy("same", 0, 1, 2, 3), policy("shared", 0, 0, 2, 2)),
            null);
    Row unshared = report.rows().get(0);
    Row same = report.rows().get(1);
    Row shared = report.rows().get(2);

    assertEquals(unshared.perplexity(), same.perplexity());
    assertEquals(1, same.ratio().value(), 1e-12);
    assertEquals(0, same.ratio().standardError(), 1e-12);
    assertEquals(1, same.agreement());
    assertEquals(
        shared.perplexity().value() / unshared.perplexity().value(), shared.ratio().value(), 1e-9);
    assertTrue(shared.ratio().standardError() > 0);
    assertTrue(shared.divergence() > 0.01);
    assertTrue(shared.agreement() < 1);
    assertEquals(0.5, shared.kvFraction());
  }

  /** A budget that covers the passage scores as the whole cache does, in the same order of rows. */
  @Test
  void everyMapIsMeasuredWithEveryCachePolicy() {
    CachePolicy ample = new H2o(TokenAmount.tokens(64), H2o.DEFAULT_RECENT, false);
    CachePolicy small = new SnapKv(TokenAmount.fraction(0.5), 2, 3);
    List<Row> rows =
        evaluator(tokens(96), 32, List.of(policy("shared", 0, 0, 2, 2)), null)
            .caches(List.of(ample, small), 0)
            .run()
            .rows();

    List<String> names =
        rows.stream().map(row -> row.policy() + " " + row.cache().policy()).toList();
    assertEquals(
        List.of(
            "null null", "null h2o", "null snapkv", "shared null", "shared h2o", "shared snapkv"),
        names);
    for (int map = 0; map < 2; map++) {
      Row whole = rows.get(3 * map);
      Row covered = rows.get(3 * map + 1);
      Row halved = rows.get(3 * map + 2);
      assertEquals(whole.perplexity().value(), covered.perplexity().value(), 1e-2);
      assertEquals(whole.divergence(), covered.divergence(), 1e-4);
      assertTrue(halved.divergence() > whole.divergence());
      assertEquals(1, whole.cache().policyFraction());
      assertEquals(
          halved.kvFraction(),
          halved.cache().sharingFraction() * halved.cache().policyFraction(),
          1e-12);
    }
    assertEquals(1, rows.get(0).kvFraction());
    assertEquals(0.5, rows.get(3).kvFraction());
    assertEquals(rows.get(2).cache().bytes(), 2 * rows.get(5).cache().bytes());
  }

  /**
   * An ample budget under refitted weights scores as these weights do with the whole cache; the
   * weights are freed when the measurement is over.
   */
  @Test
  void refittedWeightsReachCachePoliciesAndAreFreed() throws ReflectiveOperationException {
    Policy plain = policy("plain", 0, 0, 2, 2).policy();
    Path file = folder.resolve("repaired.json");
    Engine.getInstance().setRandomSeed(5);
    try (NDManager manager = decoder.newManager()) {
      SortedMap<String, NDArray> tensors = new TreeMap<>();
      for (String name :
          List.of("1.self_attn.o_proj", "3.self_attn.q_proj", "3.self_attn.own_proj")) {
        tensors.put(
            "model.layers." + name + ".weight",
            manager.randomNormal(0, 0.1f, new Shape(64, 64), DataType.FLOAT32));
      }
      PolicyFile.write(plain, RefittedWeights.of(tensors), file);
    }
    List<EvaluatedPolicy> policies =
        List.of(
            new EvaluatedPolicy("plain", plain),
            new EvaluatedPolicy(file.toString(), PolicyFile.read(file), file));
    Evaluator evaluator =
        evaluator(tokens(96), 32, policies, new Settings(8, 1, 1))
            .caches(List.of(new H2o(TokenAmount.tokens(64), H2o.DEFAULT_RECENT, false)), 0);
    evaluator.run(); // makes what the decoder keeps for all lengths
    int before = openResources();
    List<Row> rows = evaluator.run().rows();

    Row whole = rows.get(4);
    Row covered = rows.get(5);
    assertEquals(file.toString(), whole.policy());
    assertEquals(whole.perplexity().value(), covered.perplexity().value(), 1e-2);
    assertEquals(whole.divergence(), covered.divergence(), 1e-4);
    assertTrue(Math.abs(covered.divergence() - rows.get(3).divergence()) > 1e-2);
    assertEquals(before, openResources());
  }

  /** What the manager of the decoder still holds: its tensors, and managers of others. */
  private static int openResources() throws ReflectiveOperationException {
    Field resources = BaseNDManager.class.getDeclaredField("resources");
    resources.setAccessible(true);
    try (NDManager child = decoder.newManager()) {
      return ((Map<?, ?>) resources.get(child.getParentManager())).size();
    }
  }

  @Test
  void theLimitsOfMemoryDoNotChangeTheScores() {
    List<int[]> passages =
        IntStream.range(0, 5).mapToObj(w -> IntStream.range(w, w + 20).toArray()).toList();
    List<Variant> maps =
        List.of(
            new Variant(null, CacheOptions.of(SharingMap.identity(4)), null),
            new Variant("map", CacheOptions.of(SharingMap.of(0, 1, 1, 3)), null));
    List<List<PassageScore>> whole =
        new QualityMeter(
                decoder, QualityMeter.Limits.DEFAULT, QualityMeter.Listener.SILENT, Journal.none())
            .measure(passages, maps, 1, 1);
    // Two passages a batch, the last one alone; three positions of both a chunk.
    QualityMeter.Limits tight = new QualityMeter.Limits(40, 3 * 2 * 256 * 4);
    List<List<PassageScore>> parts =
        new QualityMeter(decoder, tight, QualityMeter.Listener.SILENT, Journal.none())
            .measure(passages, maps, 1, 1);

    for (int m = 0; m < 2; m++) {
      assertEquals(5, parts.get(m).size());
      for (int w = 0; w < 5; w++) {
        PassageScore expected = whole.get(m).get(w);
        PassageScore found = parts.get(m).get(w);
        assertEquals(19, found.tokens());
        assertEquals(expected.loss(), found.loss(), 1e-3);
        assertEquals(expected.divergence(), found.divergence(), 1e-3);
        assertEquals(expected.agreements(), found.agreements());
      }
    }
  }

  @Test
  void kvBytesAreThoseOfTheCache() {
    SharingMap map = SharingMap.of(0, 0, 2, 2);
    try (KvCache cache = decoder.newCache(map, 3, 64)) {
      assertEquals(
          cache.bytes() / 3 / cache.capacity(),
          decoder.spec().kvUse(Plan.of(map)).bytesPerToken(4));
    }
  }

  @Test
  void measuresSpeedInTurnsAndReportsProgress() {
    List<String> progress = new ArrayList<>();
    EvaluationReport report =
        evaluator(tokens(96), 16, List.of(policy("p", 0, 0, 2, 3)), new Settings(20, 3, 2))
            .listener((phase, done, total) -> progress.add(phase + done + "/" + total))
            .run();

    for (Row row : report.rows()) {
      assertTrue(row.speed().prefillTokensPerSecond() > 0);
      assertTrue(row.speed().decodeTokensPerSecond() > 0);
    }
    assertEquals(
        List.of(
            "quality0/6",
            "quality6/6",
            "speed0/6",
            "speed1/6",
            "speed2/6",
            "speed3/6",
            "speed4/6",
            "speed5/6",
            "speed6/6"),
        progress);
    assertEquals(List.of(), report.warnings());
  }

  @Test
  void shortensThePromptOfTheSpeedAloud() {
    EvaluationReport report = evaluate(tokens(96), 16, List.of(), new Settings(500, 2, 1));

    assertTrue(
        report.warnings().get(0).contains("a prompt of 96 tokens instead of 500"),
        report.warnings().toString());
  }

  @Test
  void refusesTextThatDoesNotFitTheModel() {
    Corpus foreign = new Corpus.Tokens("t", SHA, List.of(new int[] {1, 256}));
    EvaluationException error =
        assertThrows(EvaluationException.class, () -> evaluate(foreign, 2, List.of(), null));
    assertTrue(error.getMessage().contains("token id 256, but the vocabulary"), error.getMessage());

    error =
        assertThrows(EvaluationException.class, () -> evaluate(tokens(300), 300, List.of(), null));
    assertTrue(error.getMessage().contains("Use --passage-tokens 256"), error.getMessage());

    assertThrows(DatasetException.class, () -> evaluate(tokens(3), 16, List.of(), null));
  }

  private static EvaluatedPolicy calibratedOn(String name, String sha256) {
    Policy policy =
        Policy.of(ModelIdentity.ofLayers(4), Plan.of(SharingMap.of(0, 0, 2, 3)))
            .withCalibration(origin -> origin.dataset = new DatasetReference(name, sha256));
    return new EvaluatedPolicy("p.json", policy);
  }

  @Test
  void warnsOfTheTextOfTheCalibration() {
    EvaluationReport report = evaluate(tokens(96), 16, List.of(calibratedOn("t", SHA)), null);

    assertEquals(
        List.of(
            "100 % of the evaluation text t occurs in t, on which p.json was calibrated: its"
                + " quality looks better than it is. Evaluate on another text."),
        report.warnings());
  }

  @Test
  void warnsOfPartOfAKnownDataSet() throws IOException {
    String words = IntStream.range(0, 400).mapToObj(i -> "w" + i).collect(Collectors.joining(" "));
    Path file = Files.writeString(folder.resolve("words.txt"), words);
    Datasets datasets = new Datasets(folder.resolve("cache"));
    String sha256 =
        datasets.importText(new Dataset.Import("words", file, null, "", null, false)).sha256();
    String half = words.substring(0, words.indexOf("w200")) + "and then others. ".repeat(60);
    Corpus text = new Corpus.Text("half", SHA, half, List.of(half));
    List<String> warnings =
        Stream.of(calibratedOn("words", sha256), calibratedOn("gone", "cd".repeat(32)))
            .flatMap(policy -> policy.overlapWarning(text, datasets).stream())
            .toList();

    assertEquals(1, warnings.size());
    assertTrue(
        warnings.get(0).startsWith("51 % of the evaluation text half occurs in words"),
        warnings.get(0));
  }

  @Test
  void readsPoliciesOfItsModelOnlyUnlessForced() {
    Path file = folder.resolve("p.json");
    Policy own = Policy.of(model.identity(), Plan.of(SharingMap.of(0, 0, 2, 2)));
    PolicyFile.write(own, null, file);
    assertEquals(file.toString(), EvaluatedPolicy.read(file, model, false).name());
    List<Row> rows = evaluator(tokens(96), 16, List.of(), null).policy(file).run().rows();
    assertEquals(file.toString(), rows.get(1).policy());

    ModelIdentity other = new ModelIdentity("mistral", 4, null, null, null, null);
    PolicyFile.write(Policy.of(other, own.plan()), null, file);
    assertRefused(file, false);
    assertEquals(4, EvaluatedPolicy.read(file, model, true).policy().map().layers());
    PolicyFile.write(Policy.of(ModelIdentity.ofLayers(5), Plan.identity(5)), null, file);
    assertRefused(file, true);
  }

  private static void assertRefused(Path file, boolean force) {
    PolicyException.Mismatch error =
        assertThrows(
            PolicyException.Mismatch.class, () -> EvaluatedPolicy.read(file, model, force));
    assertTrue(error.getMessage().startsWith(file + ": "), error.getMessage());
  }
}
