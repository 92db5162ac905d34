package dev.kvshare.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.cache.H2o;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.quality.StreamMeter;
import dev.kvshare.eval.speed.SpeedMeter.Settings;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What an evaluation says of policies with windows, on a tiny Llama of four layers. */
class WindowedPoliciesTest {
  /** Bytes of keys and values that one token has in one layer: two heads of 16 float32 numbers. */
  private static final int TOKEN = 2 * 2 * 16 * 4;

  private static final int TEXT = 96;
  private static final int LENGTH = 32;
  private static final int SINKS = 2;
  private static final int WINDOW = 6;

  @TempDir Path folder;

  private static LoadedModel model;

  @BeforeAll
  static void load() {
    model = Goldens.model("architectures/llama");
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static EvaluatedPolicy policy(String name, int sinks, Integer... windowed) {
    Plan plan =
        Plan.of(SharingMap.of(0, 1, 2, 1))
            .withWindows(Plan.Windows.of(List.of(windowed), sinks, WINDOW));
    return new EvaluatedPolicy(name, Policy.of(ModelIdentity.ofLayers(4), plan));
  }

  private Evaluator evaluator() {
    int[] ids = IntStream.range(0, TEXT).map(i -> (i * i * 7 + i * 13 + 5) % 253 + 3).toArray();
    return Evaluator.of(model)
        .baselines(false)
        .text(new Corpus.Tokens("t", "0".repeat(64), List.of(ids)))
        .passages(3, LENGTH)
        .policies(
            List.of(
                policy("owner read by a full layer", SINKS, 1, 2),
                policy("all", SINKS, 0, 1, 2, 3)))
        .speed(null)
        .datasets(new Datasets(folder));
  }

  @Test
  void theCacheIsWhatIsKeptAtTheEndOfAPassage() {
    List<Row> rows = evaluator().speed(new Settings(24, 4, 1)).run().rows();
    int kept = SINKS + WINDOW;
    // Of the three owning layers, 1 is read by layer 3, which sees everything.
    double first = (2 * LENGTH + kept) / (4.0 * LENGTH);
    double second = 3 * kept / (4.0 * LENGTH);
    assertEquals(List.of(1.0, first, second), rows.stream().map(Row::kvFraction).toList());
    assertEquals(
        List.of(4L * TOKEN, Math.round(4 * TOKEN * first), Math.round(4 * TOKEN * second)),
        rows.stream().map(Row::kvBytesPerToken).toList());
    assertTrue(rows.get(2).divergence() > rows.get(1).divergence());
    assertTrue(rows.get(1).divergence() > 0);
    assertTrue(rows.get(2).speed().decodeTokensPerSecond() > 0);
  }

  /** With an ample budget rows under a cache policy score as those with the whole cache. */
  @Test
  void windowsAndCachePoliciesMultiply() {
    H2o ample = new H2o(TokenAmount.tokens(64), H2o.DEFAULT_RECENT, false);
    List<Row> rows = evaluator().caches(List.of(ample), 0).run().rows();
    for (int policy = 1; policy < 3; policy++) {
      Row whole = rows.get(2 * policy);
      Row covered = rows.get(2 * policy + 1);
      assertEquals(whole.divergence(), covered.divergence(), 1e-4);
      assertEquals(1, whole.cache().policyFraction());
      assertEquals(whole.kvFraction(), whole.cache().sharingFraction());
      assertEquals(covered.cache().bytes() / (4.0 * LENGTH * TOKEN), covered.kvFraction(), 1e-12);
    }
    // Every layer keeps a window: so many slots, each with 4 bytes for the place of a head.
    assertEquals(3 * (SINKS + WINDOW) * (TOKEN + 2 * 4), rows.get(5).cache().bytes());
  }

  /** Half of a passage is a prompt beside cache policies; else a warning says that none is. */
  @Test
  void anExactPrefillCountsBehindAPrompt() {
    H2o ample = new H2o(TokenAmount.tokens(64), H2o.DEFAULT_RECENT, false);
    EvaluatedPolicy all = policy("all", SINKS, 0, 1, 2, 3);
    Policy exact = Policy.of(all.policy().model(), all.policy().plan().withPrefill(Prefill.EXACT));
    List<EvaluatedPolicy> both = List.of(all, new EvaluatedPolicy("exact", exact));
    List<Row> rows = evaluator().policies(both).caches(List.of(ample), 0).run().rows();
    assertEquals(rows.get(4).divergence(), rows.get(5).divergence(), 1e-4);
    assertNotEquals(rows.get(2).divergence(), rows.get(4).divergence(), 1e-3);

    EvaluationReport whole = evaluator().policies(both).run();
    assertEquals(whole.rows().get(1).divergence(), whole.rows().get(2).divergence());
    assertTrue(
        whole.remarks().stream()
            .anyMatch(warning -> warning.startsWith("exact computes prompts exactly")));
  }

  @Test
  void aLongTextTakesConstantMemory() {
    List<StreamMeter.Row> rows = evaluator().stream(TEXT, LENGTH).rows();
    List<StreamMeter.Part> windowed = rows.get(2).parts();
    assertEquals(List.of(32, 64, 96), windowed.stream().map(StreamMeter.Part::tokens).toList());
    for (StreamMeter.Part part : windowed) {
      assertEquals(3 * (SINKS + WINDOW) * (TOKEN + 2 * 4), part.kvBytes());
    }
    assertTrue(rows.get(0).parts().get(2).kvBytes() >= (long) TEXT * 4 * TOKEN);
  }
}
