package dev.kvshare.calibrate.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.LayerAction;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Policy.ToolVersion;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SimilarityMeter;
import dev.kvshare.calibrate.score.Scores;
import dev.kvshare.calibrate.search.KvSharerMethod;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.SearchSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ReportTest {
  @TempDir private Path folder;

  @Test
  void needsNothingElse() {
    String page = Report.html(result(12, "text.txt"));
    for (String reference :
        List.of("http", "//", "src=", "href", "url(", "@import", "<link", "<script", "<iframe")) {
      assertFalse(page.contains(reference), reference);
    }
    assertTrue(page.startsWith("<!DOCTYPE html>"), page.substring(0, 40));
  }

  @Test
  void escapesWhatItShows() {
    String page = Report.html(result(12, "<script>alert('1')</script> & {{ 7 * 7 }} \"q\""));
    assertTrue(
        page.contains(
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; {{ 7 * 7 }} &quot;q&quot;"));
    assertFalse(page.contains("<script"));
  }

  @Test
  void showsMapLogAndNumbers() {
    String page = Report.html(result(12, "text.txt"));
    assertTrue(page.contains("<h1>3 of 12 layers share</h1>"));
    assertTrue(page.contains("Layers 8, 10 and 11 read layer 2."));
    assertTrue(page.contains("<td>11 reads 10</td>"));
    assertTrue(page.contains("above 0.5: 2 share; 11 reads 8, because 10 does"));
    assertTrue(page.contains("above 0.5: 3 share; 10 and 11 re-pointed to 2"));
    assertTrue(page.contains("not above 0.5"));
    assertEquals(66 + 40, count(page, "fill=\"#"));
    assertEquals(3, count(page, "class=\"arc "));
    assertEquals(9, count(page, "class=\"owner "));
    assertEquals(3, count(page, "class=\"reader "));
    assertEquals(3, count(page, "class=\"point-accepted\""));
    assertEquals(1, count(page, "class=\"point-rejected\""));
    assertFalse(page.contains("NaN"));
  }

  /**
   * Owning, windowed and sharing layers look different, and no search is told of that was not made.
   */
  @Test
  void showsWindowsAndScores() {
    Report.Content content = result(12, "text.txt");
    Plan plan = content.outcome().plan().withWindowed(0, 64, 4).withWindowed(5, 64, 4);
    List<Map<LayerAction, Double>> scores = new ArrayList<>();
    for (int layer = 0; layer < 12; layer++) {
      Map<LayerAction, Double> ofLayer = new LinkedHashMap<>();
      ofLayer.put(new LayerAction.Window(4, 64), 0.01 * (layer + 1));
      if (layer > 0) {
        ofLayer.put(new LayerAction.Share(layer - 1), 0.1);
      }
      scores.add(ofLayer);
    }
    SearchOutcome outcome =
        new SearchOutcome(
            plan,
            0.9,
            5,
            List.of(),
            List.of(),
            0,
            SimilarityMeter.LayerWork.NONE,
            List.of(),
            new Scores(scores, 100));
    String page =
        Report.html(
            new Report.Content(
                content.policy(),
                content.keep(),
                content.settings(),
                content.statistics(),
                outcome,
                content.summary(),
                content.compared(),
                content.work()));
    assertEquals(7, count(page, "class=\"owner "));
    assertEquals(2, count(page, "class=\"reader windowed\""));
    assertEquals(3, count(page, "class=\"reader s"));
    assertTrue(page.contains(".windowed rect {"));
    assertEquals(23, count(page, " nats a token</title>"));
    assertEquals(2, count(page, "class=\"taken\""));
    assertTrue(page.contains("layer 5 keeps the first and last tokens: 0.06000 nats a token"));
    for (String absent : List.of("Search log", "Layers run", "Candidates tested", "Circles are")) {
      assertFalse(page.contains(absent), absent);
    }
  }

  @Test
  void showsWhatIsFoundAgainWhereThatWasMeasured() {
    assertFalse(Report.html(result(12, "text.txt")).contains("found again"));
    Report.Content content = result(12, "text.txt");
    Recall recall =
        Recall.of(
            1024,
            new Recall.Answers(4, 4, -0.125, 3, -0.5, 0.0625),
            new Recall.Answers(4, 0, -6.5, null, null, null));
    String page =
        Report.html(
            new Report.Content(
                content.policy().withCalibration(origin -> origin.recall = recall),
                content.keep(),
                content.settings(),
                content.statistics(),
                content.outcome(),
                content.summary(),
                content.compared(),
                content.work()));
    assertTrue(page.contains("The plan finds 3 of 4 hidden numbers at 1,024 tokens"), page);
    assertTrue(
        page.contains("<tr><td>one number in the text</td><td class=\"number\">4 of 4</td>"));
    assertTrue(page.contains("<td class=\"number\">3 of 4</td><td class=\"number\">-0.125</td>"));
    assertTrue(page.contains("<td class=\"number\">says nothing</td>"), page);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 80})
  void anyNumberOfLayersGivesAPage(int layers) throws IOException {
    Path file = folder.resolve("report.html");
    Report.write(result(layers, "text.txt"), file);
    String page = Files.readString(file);
    assertTrue(page.endsWith("</html>\n"), page.substring(page.length() - 20));
    assertFalse(page.contains("NaN") || page.contains("Infinity"));
    assertEquals(page, Report.html(result(layers, "text.txt")));
  }

  private static int count(String text, String part) {
    return text.split(Pattern.quote(part), -1).length - 1;
  }

  /** A result in which chains were resolved; the identity for few layers. */
  private static Report.Content result(int layers, String dataset) {
    double[][] lower = new double[layers][];
    for (int layer = 0; layer < layers; layer++) {
      lower[layer] = new double[layer];
      for (int source = 0; source < layer; source++) {
        lower[layer][source] = 5 + Math.sin(layer) + Math.cos(source);
      }
    }
    DistanceMatrix distances = new DistanceMatrix(lower, lower);
    SharingMap map = SharingMap.identity(layers);
    List<SearchOutcome.Tested> tested = new ArrayList<>();
    if (layers >= 12) {
      int[][] pairs = {{10, 8}, {11, 10}, {5, 1}, {8, 2}};
      for (int[] pair : pairs) {
        SharingMap candidate = map.withShared(pair[0], pair[1]);
        boolean accepted = pair[0] != 5;
        double similarity = accepted ? 0.97 - 0.1 * tested.size() : 0.31;
        tested.add(
            new SearchOutcome.Tested(
                tested.size(),
                new DistanceMatrix.Pair(pair[0], pair[1], distances.distance(pair[0], pair[1])),
                Plan.of(candidate),
                new SimilarityMeter.Similarity(similarity, accepted ? 30 : 21, 30),
                accepted));
        map = accepted ? candidate : map;
      }
    }
    SearchOutcome outcome =
        new SearchOutcome(
            Plan.of(map),
            layers >= 12 ? 0.67 : 1,
            map.sharedLayers(),
            new KvSharerMethod().rank(distances),
            tested,
            1,
            new SimilarityMeter.LayerWork(120, 300),
            List.of(),
            null);
    ModelIdentity model = new ModelIdentity("llama", layers, 4, 2, 16, "sha256:" + "a".repeat(64));
    Policy policy = Policy.of(model, Plan.of(map)).withTool(new ToolVersion("kvshare", "1"));
    KvStatistics statistics =
        new KvStatistics(
            model,
            "key",
            new DatasetReference(dataset, "b".repeat(64)),
            List.of(new int[] {1, 2}),
            distances,
            List.of(new float[] {1, 2}));
    SearchSettings settings =
        new SearchSettings(
            new KvSharerMethod(),
            SearchGoals.share(map.sharedLayers()),
            SearchSettings.Limits.ofThreshold(0.5),
            0,
            false,
            List.of(),
            1 << 30,
            null,
            false);
    return new Report.Content(
        policy, "share 3 layers", settings, statistics, outcome, "summary", List.of(), "work");
  }
}
