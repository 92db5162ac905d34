package dev.kvshare.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.datasets.ByteSource;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.quality.PassageScore.Estimate;
import dev.kvshare.eval.tasks.TaskItem.Response;
import dev.kvshare.eval.tasks.TaskReport;
import dev.kvshare.eval.tasks.TaskSchema;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Scores against those of lm-evaluation-harness: see src/test/python/make_task_goldens.py. */
@Tag("numerics")
class TasksTest {
  private static final Path ITEMS =
      Path.of(System.getProperty("kvshare.root"), "eval/src/test/resources/tasks");

  /** Its names of our scores. */
  private static final Map<String, String> NAMES =
      Map.of(
          "accuracy", "acc",
          "normalised", "acc_norm",
          "exact (strict)", "exact_match,strict-match",
          "exact (flexible)", "exact_match,flexible-extract");

  @TempDir static Path folder;
  private static LoadedModel model;
  private static JsonNode goldens;

  @BeforeAll
  static void load() throws IOException {
    for (String file : List.of("config.json", "model.safetensors")) {
      Files.copy(Goldens.file("architectures/llama/" + file), folder.resolve(file));
    }
    for (String file : List.of("tokenizer.json", "tokenizer_config.json")) {
      Files.copy(ITEMS.resolve(file), folder.resolve(file));
    }
    model = LoadedModel.open(folder, DecoderOptions.DEFAULT);
    goldens = new ObjectMapper().readTree(ITEMS.resolve("goldens.json").toFile());
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static TaskSchema.Items items(TaskSchema schema) {
    return TaskSchema.read(ByteSource.ofFile(ITEMS.resolve(schema.title() + ".jsonl")));
  }

  private static Evaluator evaluator() {
    return Evaluator.of(model).speed(null);
  }

  @ParameterizedTest
  @EnumSource(TaskSchema.class)
  void aParquetFileHoldsTheSameItems(TaskSchema schema) {
    TaskSchema.Items items =
        TaskSchema.read(ByteSource.ofFile(ITEMS.resolve(schema.title() + ".parquet")));

    assertEquals(schema, items.schema());
    assertEquals(items(schema).items(), items.items());
  }

  @ParameterizedTest
  @EnumSource
  void scoresAreThoseOfTheHarness(TaskSchema schema) {
    TaskSchema.Items items = items(schema);
    TaskReport report = evaluator().tasks(List.of(items), 99, 32);
    JsonNode golden = goldens.path(schema.title());

    assertEquals(schema, items.schema());
    List<Response> responses = report.results().get(0).responses().get(0);
    assertEquals(golden.path("items").size(), responses.size());
    for (int i = 0; i < responses.size(); i++) {
      JsonNode expected = golden.path("items").get(i);
      Response found = responses.get(i);
      assertEquals(expected.path("text").textValue(), found.text());
      for (int c = 0; c < found.logLikelihoods().size(); c++) {
        double logLikelihood = expected.path("log_likelihoods").get(c).doubleValue();
        assertEquals(logLikelihood, found.logLikelihoods().get(c), 1e-3, "item " + i);
        assertEquals(expected.path("greedy").get(c).booleanValue(), found.greedy().get(c));
      }
    }
    for (JsonNode row : report.report().rows()) {
      JsonNode metrics = golden.path("metrics");
      String name = NAMES.get(row.path("score").asText());
      double value = row.path("value").doubleValue();
      if (name == null) {
        assertEquals(Math.log(metrics.path("perplexity,none").doubleValue()), -value, 1e-3);
      } else {
        String key = name.contains(",") ? name : name + ",none";
        assertEquals(metrics.path(key).doubleValue(), value, 1e-6, name);
      }
    }
  }

  @Test
  void writtenAnswersAreComparedAsTheHarnessDoes() {
    TaskSchema.Items items = items(TaskSchema.GSM8K);
    List<Response> right =
        List.of(
            new Response(List.of(), List.of(), " 3 + 4 = 7. #### 7\n"),
            new Response(List.of(), List.of(), "They cost $1200."),
            new Response(List.of(), List.of(), "none"));
    Report report =
        new TaskReport(
                List.of(new TaskReport.Result(items, List.of(right))),
                Collections.singletonList(null),
                Report.newRow())
            .report();

    assertEquals(1 / 3.0, report.rows().get(0).path("value").doubleValue(), 1e-9);
    assertEquals(2 / 3.0, report.rows().get(1).path("value").doubleValue(), 1e-9);
  }

  @Test
  void policiesStandBesideTheUnsharedModelWithThePairedChange() {
    Policy policy = Policy.of(ModelIdentity.ofLayers(4), Plan.of(SharingMap.of(0, 0, 0, 0)));
    TaskSchema.Items items = items(TaskSchema.LAMBADA);
    TaskReport report =
        evaluator().policies(List.of(new EvaluatedPolicy("p", policy))).tasks(List.of(items), 3, 8);
    List<?> rows = report.report().rows();

    assertEquals(4, rows.size());
    assertNull(report.policies().get(0));
    assertEquals("p", report.report().rows().get(3).path("policy").asText());
    assertTrue(report.report().rows().get(3).path("change").doubleValue() != 0);
    assertEquals(
        "lambada.jsonl: only the first 3 of 4 items were asked. This is not a result, but a way to try a task out.",
        report.report().warnings().get(0));
    for (Report.Format format : Report.Format.values()) {
      assertTrue(report.report().write(format).contains("not a result"), "" + format);
    }
    assertTrue(report.report().html().contains("not a result"));
    assertFalse(evaluator().tasks(List.of(items), 4, 8).report().html().contains("not a result"));
  }

  /** Items that the journal has are not asked again; more of them are. */
  @Test
  void goesOnWithMoreItems() throws IOException {
    Path journal = folder.resolve("tasks.journal");
    List<TaskSchema.Items> items = List.of(items(TaskSchema.PIQA));
    TaskReport whole = evaluator().tasks(items, 99, 8);
    evaluator().journal(journal).tasks(items, 2, 8);
    assertEquals(3, Files.readAllLines(journal).size());
    assertEquals(whole.results(), evaluator().journal(journal).tasks(items, 99, 8).results());
    assertEquals(6, Files.readAllLines(journal).size());
  }

  @Test
  void theMeanHasTheErrorOfTheHarness() {
    assertEquals(new Estimate(0.75, 0.25), TaskReport.mean(new double[] {1, 1, 0, 1}));
  }

  @Test
  void refusesWhatIsNoTask() throws IOException {
    assertRefused("{\"a\": 1}", "Line 1 of items.jsonl has the fields a, which are those of no");
    assertRefused(
        "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\", \"label\": -1}",
        "Line 1 of items.jsonl has no number of a choice in the field label: -1. Test sets");
    assertRefused(
        "{\"question\": \"q\", \"choices\": {\"text\": [\"a\"], \"label\": [\"A\"]}, \"answerKey\": \"\"}",
        "none of the labels [A] in the field answerKey");
    assertRefused("[]", "holds no items");
  }

  private static void assertRefused(String content, String fragment) throws IOException {
    Path file = Files.writeString(folder.resolve("items.jsonl"), content);
    String message =
        assertThrows(EvaluationException.class, () -> TaskSchema.read(ByteSource.ofFile(file)))
            .getMessage();
    assertTrue(message.contains(fragment), message);
  }
}
