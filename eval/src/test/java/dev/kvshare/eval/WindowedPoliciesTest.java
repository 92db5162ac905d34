package dev.kvshare.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.cache.H2o;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.EvaluationPassages;
import dev.kvshare.eval.quality.EvaluationText;
import dev.kvshare.eval.quality.StreamRow;
import dev.kvshare.eval.quality.StreamSegment;
import dev.kvshare.eval.speed.SpeedSettings;
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

  private static Decoder decoder;

  @BeforeAll
  static void load() {
    decoder = Goldens.decoder("architectures/llama");
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  private static EvaluatedPolicy policy(String name, int sinks, Integer... windowed) {
    Plan plan =
        Plan.of(SharingMap.of(0, 1, 2, 1))
            .withWindows(Plan.Windows.of(List.of(windowed), sinks, WINDOW));
    return new EvaluatedPolicy(name, Policy.of(ModelIdentity.ofLayers(4), plan));
  }

  private EvaluationRequest request(CacheComparison caches, SpeedSettings speed) {
    int[] ids = IntStream.range(0, TEXT).map(i -> (i * i * 7 + i * 13 + 5) % 253 + 3).toArray();
    return new EvaluationRequest(
        new EvaluationText(
            new Corpus.Tokens("t", "0".repeat(64), List.of(ids)),
            null,
            new EvaluationPassages(LENGTH, 3)),
        List.of(
            policy("owner read by a full layer", SINKS, 1, 2), policy("all", SINKS, 0, 1, 2, 3)),
        caches,
        speed,
        new Datasets(folder));
  }

  @Test
  void theCacheIsWhatIsKeptAtTheEndOfAWindow() {
    List<EvaluationRow> rows =
        new Evaluator(decoder, 4)
            .evaluate(request(null, new SpeedSettings(24, 4, 1)), EvaluationListener.SILENT)
            .rows();
    int kept = SINKS + WINDOW;
    // Of the three owning layers, 1 is read by layer 3, which sees everything.
    double first = (2 * LENGTH + kept) / (4.0 * LENGTH);
    double second = 3 * kept / (4.0 * LENGTH);
    assertEquals(
        List.of(1.0, first, second), rows.stream().map(EvaluationRow::kvFraction).toList());
    assertEquals(
        List.of(4L * TOKEN, Math.round(4 * TOKEN * first), Math.round(4 * TOKEN * second)),
        rows.stream().map(EvaluationRow::kvBytesPerToken).toList());
    assertTrue(rows.get(2).divergence() > rows.get(1).divergence());
    assertTrue(rows.get(1).divergence() > 0);
    assertTrue(rows.get(2).speed().decodeTokensPerSecond() > 0);
  }

  /** With an ample budget rows under a cache policy score as those with the whole cache. */
  @Test
  void windowsAndCachePoliciesMultiply() {
    H2o ample = new H2o(TokenAmount.tokens(64), H2o.DEFAULT_RECENT, false);
    List<EvaluationRow> rows =
        new Evaluator(decoder, 4)
            .evaluate(
                request(new CacheComparison(List.of(ample), 0), null), EvaluationListener.SILENT)
            .rows();
    for (int policy = 1; policy < 3; policy++) {
      EvaluationRow whole = rows.get(2 * policy);
      EvaluationRow covered = rows.get(2 * policy + 1);
      assertEquals(whole.divergence(), covered.divergence(), 1e-4);
      assertEquals(1, whole.cache().policyFraction());
      assertEquals(whole.kvFraction(), whole.cache().sharingFraction());
      assertEquals(covered.cache().bytes() / (4.0 * LENGTH * TOKEN), covered.kvFraction(), 1e-12);
    }
    // Every layer keeps a window: so many slots, each with 4 bytes for the place of a head.
    assertEquals(3 * (SINKS + WINDOW) * (TOKEN + 2 * 4), rows.get(5).cache().bytes());
  }

  @Test
  void aLongTextTakesConstantMemory() {
    List<StreamRow> rows =
        new Evaluator(decoder, 4).stream(request(null, null), EvaluationListener.SILENT).rows();
    List<StreamSegment> windowed = rows.get(2).segments();
    assertEquals(List.of(32, 64, 96), windowed.stream().map(StreamSegment::tokens).toList());
    for (StreamSegment segment : windowed) {
      assertEquals(3 * (SINKS + WINDOW) * (TOKEN + 2 * 4), segment.kvBytes());
    }
    assertTrue(rows.get(0).segments().get(2).kvBytes() >= (long) TEXT * 4 * TOKEN);
  }
}
