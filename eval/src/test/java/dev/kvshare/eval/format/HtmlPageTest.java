package dev.kvshare.eval.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.eval.format.Chart.Kind;
import dev.kvshare.eval.format.Chart.Point;
import dev.kvshare.eval.format.Chart.Series;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class HtmlPageTest {
  private static Report report() {
    Chart points =
        new Chart(
            "Kept & cost",
            "Lower left is better.",
            Kind.POINTS,
            "KV cache kept, %",
            "KL divergence",
            List.of(
                new Series("(unshared)", List.of(new Point(100, 0, 0))),
                new Series("a<b>.json", List.of(new Point(62.5, 0.0183, 0.002))),
                new Series(
                    "a-policy-with-a-long-name-in-a-long-folder.json",
                    List.of(new Point(50, 0.08, 0.01)))));
    Chart bars =
        new Chart(
            "Speed",
            "Of decoding.",
            Kind.BARS,
            "tokens a second",
            "policy",
            List.of(
                Chart.bar("(unshared)", 51.2, 0),
                Chart.bar("a<b>.json", 63.9, 2.5),
                Chart.bar("unknown", Double.NaN, 0)));
    List<Point> first =
        IntStream.rangeClosed(1, 10)
            .mapToObj(i -> new Point(2000 * i, 20 + Math.sin(i), 0))
            .toList();
    List<Point> second =
        IntStream.rangeClosed(1, 10).mapToObj(i -> new Point(2000 * i, 20 + i / 2.0, 0)).toList();
    Chart lines =
        new Chart(
            "Along the text",
            "One text.",
            Kind.LINES,
            "tokens read",
            "perplexity",
            List.of(new Series("(unshared)", first), new Series("streaming", second)));
    List<List<String>> cells =
        List.of(
            List.of(
                "policy",
                "perplexity",
                "by byte",
                "ratio",
                "divergence",
                "same token",
                "KV cache",
                "KV bytes/token",
                "prefill tokens/s"),
            List.of(
                "(unshared)",
                "39.63 ± 1.250",
                "2.211",
                "1",
                "0.0000",
                "100.0 %",
                "100.0 %",
                "46,080",
                "1,235"),
            List.of(
                "a<b>.json",
                "41.00 ± 1.250",
                "2.231",
                "1.035 ± 0.004",
                "0.0183",
                "92.1 %",
                "62.5 %",
                "28,800",
                "1,441"));
    return new Report(
        cells,
        List.of(),
        Report.newRow().set("run", Report.newRow().put("command", "kvshare eval").putNull("bos")),
        List.of("t: 12 passages of 512 tokens, without overlap, no BOS; 6,132 tokens scored"),
        List.of("Beware of <this>."),
        List.of(points, bars, lines));
  }

  @Test
  void thePageStandsAloneAndEscapesTexts() {
    String html = report().html();

    assertTrue(html.contains("<td data-label=\"policy\">a&lt;b&gt;.json</td>"), html);
    assertTrue(html.contains("Beware of &lt;this&gt;."));
    assertFalse(html.contains("a<b>"));
    assertFalse(html.contains("http"), "nothing is fetched");
    assertTrue(html.contains("<th>run command</th><td>kvshare eval</td>"));
    assertFalse(html.contains("run bos"));
  }

  /** Whoever does not see a picture finds each of its numbers in the table behind it. */
  @Test
  void everyPictureHasItsNumbers() {
    String html = report().html();

    assertEquals(3, html.split("<svg ", -1).length - 1);
    assertEquals(3, html.split("<summary>", -1).length - 1);
    assertTrue(
        html.contains("<td class=\"number\" data-label=\"KL divergence\">0.018 ± 0.002</td>"));
    assertTrue(
        html.contains("<td class=\"number\" data-label=\"tokens a second\">63.90 ± 2.500</td>"));
    assertTrue(html.contains("unknown: not known"));
  }

  @Test
  void aLongTableStandsBelowThePictures() {
    Report few = report();
    List<List<String>> rows = new ArrayList<>(few.cells());
    rows.addAll(Collections.nCopies(20, few.cells().get(1)));
    Report many = new Report(rows, few.rows(), few.about(), List.of(), List.of(), few.charts());

    String head = "<th class=\"number\">same token</th>";
    assertTrue(few.html().indexOf(head) < few.html().indexOf("<svg "));
    assertTrue(many.html().indexOf(head) > many.html().lastIndexOf("<svg "));
    assertEquals(1, many.html().split(head, -1).length - 1);
  }

  /** Contexts double from one to the next, and so are equally far apart, at measured numbers. */
  @Test
  void curvesStandOverMeasuredContexts() {
    List<Point> points =
        List.of(new Point(512, 3, 0), new Point(1024, 2, 0), new Point(4096, 1, 0));
    Chart.Drawing drawing =
        new Chart("", "", Kind.CURVES, "", "", List.of(new Series("a", points))).drawing();

    assertEquals(
        List.of("512", "1024", "4096"), drawing.ticks().stream().map(Chart.Tick::label).toList());
    List<Chart.Dot> dots = drawing.marks().get(0).dots();
    assertEquals(2 * (dots.get(1).x() - dots.get(0).x()), dots.get(2).x() - dots.get(1).x(), 0.2);
    assertEquals(drawing.ticks().get(2).at(), dots.get(2).x());
    assertEquals(3, drawing.marks().get(0).path().split("[ML]", -1).length - 1);
  }

  @Test
  void aLongNameOverABarKeepsItsEnd() {
    String name = "x".repeat(60) + "/policy.json";
    Chart chart = new Chart("", "", Kind.BARS, "", "", List.of(Chart.bar(name, 12.5, 0)));
    String drawn = chart.drawing().marks().get(0).name();

    assertTrue(drawn.startsWith("…xx") && drawn.endsWith("/policy.json: 12.50"), drawn);
    assertEquals(58, drawn.length());
    assertEquals(name, chart.table().get(1).get(0));
  }

  @Test
  void placesAreThoseOfTheNumbers() {
    Chart.Drawing drawing = report().charts().get(0).drawing();

    // From 0 to a twentieth above 100.
    double right = Chart.RIGHT - Chart.LEFT;
    assertEquals(Chart.LEFT + right * 50 / 105, drawing.marks().get(2).dots().get(0).x(), 0.1);
    assertEquals(
        List.of("0", "20", "40", "60", "80", "100"),
        drawing.ticks().stream().map(Chart.Tick::label).toList());
    assertEquals(
        "a<b>.json: KV cache kept, % 62.5, KL divergence 0.0183",
        drawing.marks().get(1).dots().get(0).title());
    Chart flat =
        new Chart(
            "", "", Kind.POINTS, "", "", List.of(new Series("a", List.of(new Point(1, 5, 0)))));
    assertTrue(Double.isFinite(flat.drawing().marks().get(0).dots().get(0).y()));
  }
}
