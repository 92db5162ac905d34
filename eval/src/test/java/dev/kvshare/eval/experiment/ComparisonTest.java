package dev.kvshare.eval.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.experiment.Comparison.Measured;
import dev.kvshare.eval.experiment.Comparison.OnText;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.format.Report.Format;
import dev.kvshare.eval.quality.PassageScore.Estimate;
import java.util.List;
import org.junit.jupiter.api.Test;

class ComparisonTest {
  private static Row row(double ratio, double error) {
    return new Row(
        "p", new Estimate(40, 1), new Estimate(ratio, error), 0.5, 0.9, 0.5, 10, null, null);
  }

  private static Measured plan(String name, String method, double plain) {
    OnText emma =
        new OnText("emma", List.of(row(1, 0)), List.of(row(plain, 0.1)), List.of(row(1.1, 0.01)));
    return new Measured(name, method, 3, 3, 2, 5, List.of(emma));
  }

  @Test
  void plansOfOneMethodAreOneRowWithTheErrorOfTheirMean() {
    Report report =
        new Comparison(
                List.of(
                    plan("kvsharer-3", "kvsharer", 1.5),
                    plan("random0-3", "random", 2),
                    plan("random1-3", "random", 4)))
            .report();

    assertEquals(
        """
        | method | size | plans | layers | emma plain | emma repaired | search s | repair s |
        |---|---:|---:|---:|---:|---:|---:|---:|
        | kvsharer | 3 | 1 | 3.00 | 1.500 ± 0.100 | 1.100 ± 0.010 | 2 | 5 |
        | random | 3 | 2 | 3.00 | 3.000 ± 1.000 | 1.100 ± 0.000 | 2 | 5 |
        """,
        report.write(Format.MARKDOWN));
    assertTrue(report.write(Format.TEXT).startsWith("method    size  plans"));
    String csv = report.write(Format.CSV);
    assertTrue(csv.startsWith("name,method,size,reduced_layers,text,unshared_perplexity,plain_"));
    assertEquals(4, csv.lines().count());
    assertTrue(report.write(Format.JSON).contains("\"plain_ratio_stderr\" : 0.1"));
  }

  /** A plan whose repair does not help counts as it is. */
  @Test
  void withoutARepairThePlainPlanStandsForIt() {
    OnText text = new OnText("emma", List.of(row(1, 0)), List.of(row(1.5, 0.1)), List.of());
    Comparison plans =
        new Comparison(List.of(new Measured("auto-3", "auto", 3, 3, 2, 5, List.of(text))));

    assertTrue(plans.report().write(Format.MARKDOWN).contains("| 1.500 ± 0.100 | 1.500 ± 0.100 |"));
  }
}
