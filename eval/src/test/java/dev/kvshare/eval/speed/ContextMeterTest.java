package dev.kvshare.eval.speed;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDManager;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Windows;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.format.Chart;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.speed.ContextMeter.Settings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * On the built-in model: 12 layers, float32, 2 heads of 32 numbers, so 512 bytes a layer and token.
 */
@Tag("numerics")
class ContextMeterTest {
  private static final long UNSHARED = 12 * 512;

  private static LoadedModel model;

  @TempDir Path folder;

  @BeforeAll
  static void load() {
    Path builtIn = Path.of(System.getProperty("kvshare.root"), "models/builtin");
    model = LoadedModel.open(builtIn, DecoderOptions.DEFAULT);
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static Evaluator evaluator() {
    SharingMap identity = SharingMap.identity(12);
    Plan windows = Plan.of(identity).withWindows(new Windows(List.of(1, 3, 5, 7, 9, 11), 4, 28));
    Plan shared = Plan.of(SharingMap.of(0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 11));
    return Evaluator.of(model)
        .policies(
            List.of(
                new EvaluatedPolicy("windows", Policy.of(model.identity(), windows)),
                new EvaluatedPolicy("shared", Policy.of(model.identity(), shared))));
  }

  private static Settings settings(List<Integer> contexts, long budget, long memory) {
    return new Settings(contexts, List.of(3), budget, memory, 2, 1);
  }

  @Test
  void rowsFollowContextsAndSequences() {
    Report report = evaluator().speedByContext(settings(List.of(64, 128), 0, 1L << 30)).report();
    List<ObjectNode> rows = report.rows();

    assertEquals(
        List.of("64 1", "64 3", "128 1", "128 3", "128 4"),
        rows.stream()
            .filter(row -> row.get("policy").isNull())
            .map(row -> row.get("context") + " " + row.get("sequences"))
            .toList());
    assertEquals(
        List.of("null", "\"windows\"", "\"shared\""),
        rows.subList(0, 3).stream().map(row -> row.get("policy").toString()).toList());
    assertEquals(60, rows.get(0).get("prompt_tokens").asInt());
    assertEquals(64 * UNSHARED, rows.get(0).get("kv_bytes").asLong());
    assertEquals(64 * UNSHARED * 7 / 12, rows.get(2).get("kv_bytes").asLong());
    assertEquals(3 * 64 * UNSHARED, rows.get(3).get("kv_bytes").asLong());
    for (ObjectNode row : rows) {
      assertTrue(row.get("decode_tokens_per_second").asDouble() > 0, row.toString());
      boolean prefill = row.get("sequences").asInt() == 1;
      assertEquals(prefill, row.get("prefill_tokens_per_second").isNumber(), row.toString());
      if (row.get("policy").isNull()) {
        assertEquals(1, row.get("decode_ratio").asDouble());
      }
    }
    assertEquals(rows.size() + 1, report.cells().size());
  }

  /** 4 unshared sequences by default; of a policy what its own bytes at this context let in. */
  @Test
  void theBudgetHoldsWhatBytesLetIn() {
    List<ObjectNode> rows =
        evaluator().speedByContext(settings(List.of(128), 0, 1L << 30)).report().rows();
    List<ObjectNode> budget = rows.subList(rows.size() - 3, rows.size());

    long bytes = 4 * 128 * UNSHARED;
    for (ObjectNode row : budget) {
      assertTrue(row.get("in_budget").asBoolean());
      long one = row.get("kv_bytes_per_sequence").asLong();
      assertEquals(bytes / one, row.get("sequences").asLong(), row.toString());
      assertTrue(row.get("kv_bytes").asLong() <= bytes);
    }
    assertEquals(4, budget.get(0).get("sequences").asInt());
    // Half of the layers keep 32 of 128 tokens and the places of all: at most 1.6 times as many.
    assertEquals(6, budget.get(1).get("sequences").asInt());
    assertEquals(6, budget.get(2).get("sequences").asInt());
    assertArrayEquals(new int[] {4, 7, 10}, Settings.sequences(1000, 250, 142, 100));
    assertEquals(List.of(4096, 8192), Settings.budgetContexts(List.of(512, 4096, 8192, 16384)));
    assertEquals(List.of(2048), Settings.budgetContexts(List.of(512, 2048)));
    assertEquals(List.of(16384), Settings.budgetContexts(List.of(512, 16384)));
  }

  @Test
  void pictureWordsAndJsonSayFromWhichContextOnItPays() {
    Report report = evaluator().speedByContext(settings(List.of(64, 128), 0, 1L << 30)).report();

    List<Chart> charts = report.charts();
    assertEquals(
        List.of(
            "Decoding one sequence",
            "Decoding 3 sequences at once",
            "Reading a prompt",
            "KV cache of one sequence",
            "Decoding in one KV budget at 128 tokens"),
        charts.stream().map(Chart::title).toList());
    Chart decoding = charts.get(0);
    assertEquals(Chart.Kind.CURVES, decoding.kind());
    assertEquals(
        List.of("(unshared)", "windows", "shared"),
        decoding.series().stream().map(Chart.Series::name).toList());
    assertEquals(
        List.of(64.0, 128.0),
        decoding.series().get(1).points().stream().map(Chart.Point::x).toList());
    assertEquals(
        report.rows().get(1).get("decode_tokens_per_second").asDouble(),
        decoding.series().get(1).points().get(0).y());
    // Of each policy: decoding of 1 and of 3, and prefill.
    assertEquals(6, report.about().get("crossings").size());
    assertEquals("decode", report.about().get("crossings").get(0).get("what").asText());
    String notes = String.join("\n", report.notes());
    assertTrue(notes.contains("windows, measured at 64 and 128 tokens. Decoding one"), notes);
    assertTrue(notes.contains("holds 4 sequences unshared and 6 under shared"), notes);
    assertTrue(report.html().contains("Decoding 3 sequences at once"));
    assertFalse(report.html().contains("crossings"), "that is no setting");
    assertEquals(
        PyTorchRuntime.threads() == 1 ? "processor" : "wall",
        report.about().at("/run/speed_by_context/clock").asText());
  }

  @Test
  void theUnsharedModelIsMeasuredAlone() {
    Report report = Evaluator.of(model).speedByContext(settings(List.of(64), 0, 1L << 30)).report();

    assertEquals(3, report.rows().size());
    assertEquals(List.of(), report.notes());
  }

  @Test
  void aJournalKeepsTheTimes() throws IOException {
    Path journal = folder.resolve("journal");
    Settings both = settings(List.of(64, 128), 0, 1L << 30);
    List<ObjectNode> first =
        evaluator()
            .journal(journal)
            .speedByContext(settings(List.of(128), 0, 1L << 30))
            .report()
            .rows();
    List<ObjectNode> later = evaluator().journal(journal).speedByContext(both).report().rows();

    assertEquals(first, later.subList(later.size() - first.size(), later.size()));
    List<String> lines = Files.readAllLines(journal);
    assertEquals(1 + 2 * 2, lines.size(), "its settings; two policies at two contexts");
    // A run that was killed in the middle of a line.
    Files.writeString(journal, String.join("\n", lines.subList(0, 4)) + "\n{\"name\": \"sh");
    List<ObjectNode> again = evaluator().journal(journal).speedByContext(both).report().rows();
    assertEquals(later.size(), again.size());
    assertEquals(later.get(1), again.get(1), "the first policy at the first context was whole");
    assertEquals(lines.size(), Files.readAllLines(journal).size());
  }

  @Test
  void whatFitsNeitherModelNorMemoryIsRefused() {
    refused(settings(List.of(2048), 0, 1L << 30), "longer than the 1024 positions");
    refused(settings(List.of(4), 0, 1L << 30), "Use --speed-context with at least 5");
    refused(settings(List.of(1024), 0, 1L << 20), "and there are 1.0 MiB for them");
    refused(settings(List.of(64), 64L << 30, 1L << 30), "--speed-budget with at most");
    refused(settings(List.of(64), 1000, 1L << 30), "does not hold one sequence of 64 tokens");
    assertThrows(
        IllegalArgumentException.class, () -> new Settings(List.of(), List.of(0), 0, 0, 1, 1));
  }

  private static void refused(Settings settings, String words) {
    EvaluationException refusal =
        assertThrows(EvaluationException.class, () -> evaluator().speedByContext(settings));
    assertTrue(refusal.getMessage().contains(words), refusal.getMessage());
  }

  /** Without a choice, model and memory bound the contexts and the numbers of sequences. */
  @Test
  void whatDoesNotFitIsLeftOut() {
    Settings most = new Settings(List.of(), List.of(2, 100), 0, 10 * 512 * UNSHARED, 1, 1);
    List<Integer> steps = new ArrayList<>();
    ContextReport found =
        Evaluator.of(model)
            .listener((phase, done, total) -> steps.add(done - total))
            .speedByContext(most);

    assertEquals(List.of(512, 1024), found.turns().stream().map(t -> t.context()).toList());
    assertEquals(2, found.notes().size());
    assertTrue(found.notes().get(0).contains("[100] sequences at once were left out"));
    assertEquals(0, steps.get(steps.size() - 1));
    assertTrue(IntStream.range(1, steps.size()).allMatch(i -> steps.get(i) >= steps.get(i - 1)));
  }

  @Test
  void nothingIsLeftBehind() {
    Settings settings = settings(List.of(64), 0, 1L << 30);
    evaluator().speedByContext(settings);
    try (NDManager child = model.decoder().newManager()) {
      int before = child.getParentManager().getManagedArrays().size();
      evaluator().speedByContext(settings);
      assertEquals(before, child.getParentManager().getManagedArrays().size());
    }
  }
}
