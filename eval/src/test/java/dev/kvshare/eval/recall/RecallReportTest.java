package dev.kvshare.eval.recall;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.recall.RecallItem.Question;
import dev.kvshare.eval.recall.RecallReport.Outcome;
import dev.kvshare.eval.recall.RecallReport.Row;
import dev.kvshare.eval.recall.RecallReport.Score;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The table of what is found again. */
class RecallReportTest {
  private static final RecallTask ONE = RecallTask.SINGLE_KEY;
  private static final RecallTask FOUR = RecallTask.FOUR_KEYS;
  private static final RecallTask CHAINS = RecallTask.VARIABLES;

  private static Score score(int first, int second) {
    return score(10, first, second);
  }

  /** Exact answers, to the deepest questions of each kind. */
  private static Score score(int items, int first, int second) {
    List<Outcome> outcomes = new ArrayList<>();
    for (int item = 0; item < items; item++) {
      double depth = (item + 0.5) / items;
      outcomes.add(new Outcome(0, depth, item >= items - first ? 1 : 0));
      outcomes.add(new Outcome(1, depth, item >= items - second ? 1 : 0.5));
    }
    return new Score(outcomes);
  }

  private static Row row(
      int context, String policy, boolean baseline, double kept, Score... scores) {
    return new Row(
        context,
        policy,
        null,
        baseline,
        kept,
        scores.length == 3
            ? Map.of(ONE, scores[0], FOUR, scores[1], CHAINS, scores[2])
            : Map.of(ONE, scores[0], FOUR, scores[1]));
  }

  private static RecallReport report(Row... rows) {
    RecallSettings settings = new RecallSettings(List.of(ONE, FOUR, CHAINS), List.of(4096), 10, 0);
    return new RecallReport(List.of(rows), settings, Report.newRow().put("seed", 0), List.of());
  }

  private static RecallReport example() {
    return report(
        row(4096, null, false, 1, score(10, 10), score(9, 9), score(2, 1)),
        row(4096, "good.json", false, 0.5, score(10, 9), score(9, 9)),
        row(4096, "bad.json", false, 0.5, score(10, 10), score(4, 0)),
        row(4096, "baseline spread-low-8", true, 0.5, score(9, 9), score(9, 8)),
        row(4096, "baseline int8", true, 0.7, score(10, 10), score(9, 9)));
  }

  @Test
  void theWorstDropLeads() {
    Report report = example().report();
    List<List<String>> cells = report.cells();
    assertEquals(
        List.of(
            "policy",
            "context",
            "KV cache",
            "worst drop",
            "in",
            "single-key",
            "four-keys",
            "variables"),
        cells.get(0));
    assertEquals(
        List.of(
            "bad.json",
            "4,096",
            "50.0 %",
            "70 points",
            "four-keys",
            "100 % (84-100)",
            "20 % (8-42)",
            "-"),
        cells.get(1));
    assertEquals("baseline spread-low-8", cells.get(2).get(0));
    assertEquals("good.json", cells.get(3).get(0));
    assertEquals("baseline int8", cells.get(4).get(0));
    assertEquals(
        List.of(
            "(unshared)",
            "4,096",
            "100.0 %",
            "",
            "",
            "100 % (84-100)",
            "90 % (70-97)",
            "[15 % (5-36)]"),
        cells.get(5));
    assertEquals(
        "The worst: bad.json loses 70 points in four-keys at 4,096 tokens, from 90 to 20 % of the answers.",
        report.notes().get(0));
    assertTrue(report.notes().get(2).startsWith("variables at 4,096 tokens: says nothing"));
    assertEquals(
        "good.json at 4,096 tokens: no baseline that keeps as little does as well. The best, baseline spread-low-8, loses 10 points where it loses most, the policy 5.",
        report.notes().get(3));
    assertEquals(
        "bad.json at 4,096 tokens: a simple baseline that keeps no more wins, baseline spread-low-8. It loses 10 points where it loses most, the policy 70.",
        report.notes().get(4));
    assertTrue(report.html().contains("four-keys at 4,096 tokens"));
    assertFalse(report.html().contains("variables at 4,096 tokens</h"));
  }

  @Test
  void programsGetARowATask() throws IOException {
    JsonNode json = new ObjectMapper().readTree(example().report().write(Report.Format.JSON));
    assertEquals(15, json.path("rows").size());
    JsonNode bad = json.path("rows").get(1);
    assertEquals("four-keys", bad.path("task").asText());
    assertEquals(20, bad.path("questions").asInt());
    assertEquals(0.4, bad.path("exact_first_question").asDouble(), 1e-9);
    assertEquals(0, bad.path("exact_second_question").asDouble(), 1e-9);
    assertEquals(0, bad.path("exact_first_third").asDouble(), 1e-9);
    assertEquals(3 / 6.0, bad.path("exact_last_third").asDouble(), 1e-9);
    assertEquals(0.45, bad.path("found").asDouble(), 1e-9);
    assertEquals(0.7, bad.path("drop").asDouble(), 1e-9);
    assertTrue(json.path("rows").get(2).path("exact").isNull());
    assertFalse(json.path("rows").get(2).path("says_something").asBoolean());
    assertEquals(0, json.path("run").path("seed").asInt());
    String csv = example().report().write(Report.Format.CSV);
    assertEquals(16, csv.lines().count());
  }

  /** Where nothing is found, nothing is compared. */
  @Test
  void aModelThatFindsNothingIsSaidToTellNothing() {
    Score none = score(0, 0);
    Report report =
        report(
                row(4096, null, false, 1, none, none, none),
                new Row(4096, "p.json", null, false, 0.5, Map.of()))
            .report();
    assertEquals(List.of("-", "-", "-"), report.cells().get(1).subList(5, 8));
    assertEquals("", report.cells().get(1).get(3));
    assertEquals(2, report.notes().size());
    assertTrue(report.html().contains("says nothing"));
  }

  /** Wilson's interval, by the formula of E. B. Wilson (1927) with z = 1.96. */
  @Test
  void intervalsAreWilsons() {
    Score half = score(5, 3, 2);
    assertEquals(0.2366, half.low(), 1e-4);
    assertEquals(0.7634, half.high(), 1e-4);
    Score all = score(4, 4, 4);
    assertEquals(0.6756, all.low(), 1e-4);
    assertEquals(1, all.high(), 1e-9);
    Score none = score(8, 0, 0);
    assertEquals(0, none.low(), 1e-9);
    assertEquals(0.1936, none.high(), 1e-4);
    assertTrue(score(5, 1, 1).tells());
    assertFalse(none.tells());
  }

  @Test
  void perfectAndFailingAnswersAreScored() {
    List<RecallItem> items =
        List.of(
            new RecallItem(
                new int[1],
                List.of(
                    new Question(new int[1], List.of("11111", "22222"), 0.1, 9),
                    new Question(new int[1], List.of("33333", "44444"), 0.7, 9))));
    Score perfect = Score.of(items, List.of(List.of(" 22222, 11111.", "33333 and 44444")));
    assertEquals(1, perfect.exact());
    Score failing = Score.of(items, List.of(List.of(" 22222.", "11111")));
    assertEquals(0, failing.exact());
    assertEquals(0.25, failing.found());
    assertEquals(List.of(new Outcome(0, 0.1, 0.5), new Outcome(1, 0.7, 0)), failing.outcomes());
  }
}
