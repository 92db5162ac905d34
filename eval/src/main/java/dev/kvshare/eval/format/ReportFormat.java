package dev.kvshare.eval.format;

import dev.kvshare.eval.EvaluationReport;
import dev.kvshare.eval.quality.StreamReport;
import dev.kvshare.eval.quality.StreamTable;
import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;

/** The forms in which a report can be written. Each ends with a line feed. */
public enum ReportFormat {
  /** A table with aligned columns, for a terminal. */
  TEXT,
  /** A Markdown table. */
  MARKDOWN,
  /** Comma-separated values, named and printed as in JSON. */
  CSV,
  /** One JSON object with the rows. */
  JSON;

  /** Returns the format that users call {@code name}, in any case, or nothing. */
  public static Optional<ReportFormat> named(String name) {
    return Arrays.stream(values())
        .filter(format -> format.name().equals(name.toUpperCase(Locale.ROOT)))
        .findFirst();
  }

  /** Returns {@code report} in this form. */
  public String write(EvaluationReport report) {
    return write(EvaluationTable.of(report));
  }

  /** Returns {@code report} in this form. */
  public String write(StreamReport report) {
    return write(StreamTable.of(report));
  }

  private String write(ReportContent report) {
    return switch (this) {
      case TEXT -> ReportTable.text(report.cells());
      case MARKDOWN -> ReportTable.markdown(report.cells());
      case CSV -> ReportJson.csv(report.rows());
      case JSON -> ReportJson.json(report);
    };
  }
}
