package dev.kvshare.eval;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.eval.format.Chart;
import dev.kvshare.eval.format.Chart.Series;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.format.Table;
import dev.kvshare.eval.quality.PassageScore.Estimate;
import dev.kvshare.eval.quality.Protocol;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.speed.SpeedMeter.Speed;
import java.util.ArrayList;
import java.util.List;

/**
 * The outcome of an evaluation.
 *
 * @param protocol what was read and what of it is scored
 * @param run everything else that is needed to measure it again
 * @param rows the unshared model first, then the policies in the order of the request
 * @param warnings sentences for the user; empty if all is well
 * @param remarks sentences that follow them, on what comes of defaults alone
 */
public record EvaluationReport(
    Protocol protocol,
    ObjectNode run,
    List<Row> rows,
    List<String> warnings,
    List<String> remarks) {
  /** Copies the lists. */
  public EvaluationReport {
    rows = List.copyOf(rows);
    warnings = List.copyOf(warnings);
    remarks = List.copyOf(remarks);
  }

  /**
   * What was measured of one plan, with one cache policy.
   *
   * @param policy the name of the policy, or null for the unshared model
   * @param perplexity on the passages, with its standard error over them
   * @param ratio of this perplexity to the unshared model's on the same passages, with its standard
   *     error; 1 and 0 for the unshared model
   * @param divergence mean Kullback-Leibler divergence of the next-token distributions from the
   *     unshared model's, in nats a token
   * @param agreement share of positions at which the most likely next token is the unshared model's
   * @param kvFraction bytes of the KV cache as a fraction of the unshared model's, at the end of a
   *     passage: what windowed layers keep does not grow with it
   * @param kvBytesPerToken bytes of the KV cache of one sequence by tokens, there as well
   * @param cache what a cache policy saves, or null if none was asked for
   * @param speed the speed, or null if it was not measured
   */
  public record Row(
      String policy,
      Estimate perplexity,
      Estimate ratio,
      double divergence,
      double agreement,
      double kvFraction,
      long kvBytesPerToken,
      CacheSavings cache,
      Speed speed) {

    /** The same numbers under another name, with a speed. */
    public Row with(String name, Speed measured) {
      return new Row(
          name,
          perplexity,
          ratio,
          divergence,
          agreement,
          kvFraction,
          kvBytesPerToken,
          cache,
          measured);
    }
  }

  /**
   * What a cache policy saves besides a plan.
   *
   * @param policy the name of the cache policy, or null where everything is kept
   * @param sharingFraction what the plan keeps, by bytes, of all tokens of all layers
   * @param policyFraction bytes that the cache policy leaves of what those layers would keep
   * @param bytes the cache of one sequence as allocated at the end of a passage
   */
  public record CacheSavings(
      String policy, double sharingFraction, double policyFraction, long bytes) {}

  /** The rows as they are printed. */
  public Report report() {
    ObjectNode about = Report.newRow();
    about.set("text", protocol.object());
    about.set("run", run);
    List<List<String>> cells = new ArrayList<>();
    cells.add(head());
    rows.forEach(row -> cells.add(cells(row)));
    List<String> notes = new ArrayList<>(List.of(protocol.line()));
    notes.addAll(Baselines.words(rows));
    List<String> said = new ArrayList<>(warnings);
    said.addAll(remarks);
    Report report = new Report(cells, rows.stream().map(this::object).toList(), about, notes, said);
    for (Chart chart : charts()) {
      report = report.with(chart);
    }
    return report;
  }

  private List<Chart> charts() {
    List<Series> quality = new ArrayList<>();
    List<Series> speed = new ArrayList<>();
    for (Row row : rows) {
      String name = name(row);
      quality.add(
          new Series(name, List.of(new Chart.Point(100 * row.kvFraction(), row.divergence(), 0))));
      if (row.speed() != null) {
        speed.add(Chart.bar(name, row.speed().decodeTokensPerSecond(), 0));
      }
    }
    List<Chart> charts = new ArrayList<>();
    charts.add(
        new Chart(
            "What is kept and what it costs",
            "A policy is better the nearer it is to the lower left corner: less of the KV cache, and predictions nearer to the unshared model's.",
            Chart.Kind.POINTS,
            "KV cache kept, %",
            "KL divergence, nats a token",
            quality));
    if (!speed.isEmpty()) {
      charts.add(
          new Chart(
              "Speed of decoding",
              "One sequence, median of the rounds in which the rows took turns.",
              Chart.Kind.BARS,
              "tokens a second",
              "policy",
              speed));
    }
    return charts;
  }

  private static String name(Row row) {
    String name = row.policy() == null ? Variant.UNSHARED : row.policy();
    return row.cache() == null || row.cache().policy() == null
        ? name
        : name + " with " + row.cache().policy();
  }

  private List<String> head() {
    List<String> head =
        new ArrayList<>(List.of("policy", "perplexity", "ratio", "divergence", "same token"));
    if (protocol.scoredBytes() > 0) {
      head.add(2, "by byte");
    }
    if (rows.get(0).cache() != null) {
      head.add(1, "cache");
      head.addAll(List.of("sharing", "x method", "= KV cache", "KV bytes"));
    } else {
      head.addAll(List.of("KV cache", "KV bytes/token"));
    }
    if (rows.get(0).speed() != null) {
      head.addAll(List.of("prefill tokens/s", "decode tokens/s", "prefill ms"));
    }
    return head;
  }

  private List<String> cells(Row row) {
    CacheSavings cache = row.cache();
    List<String> cells = new ArrayList<>();
    cells.add(row.policy() == null ? Variant.UNSHARED : row.policy());
    if (cache != null) {
      cells.add(cache.policy() == null ? Variant.WHOLE_CACHE : cache.policy());
    }
    cells.add(
        "%s ± %s"
            .formatted(
                Table.number(row.perplexity().value()),
                Table.number(row.perplexity().standardError())));
    if (protocol.scoredBytes() > 0) {
      cells.add(Table.number(protocol.bytePerplexity(row.perplexity().value())));
    }
    boolean first = row.policy() == null && (cache == null || cache.policy() == null);
    cells.add(first ? "1" : ratio(row.ratio()));
    cells.add(Table.format("%.4f", row.divergence()));
    cells.add(percent(row.agreement()));
    if (cache != null) {
      cells.add(percent(cache.sharingFraction()));
      cells.add(percent(cache.policyFraction()));
    }
    cells.add(percent(row.kvFraction()));
    cells.add(Table.format("%,d", cache == null ? row.kvBytesPerToken() : cache.bytes()));
    if (row.speed() != null) {
      cells.add(Table.number(row.speed().prefillTokensPerSecond()));
      cells.add(Table.number(row.speed().decodeTokensPerSecond()));
      cells.add(Table.number(1000 * row.speed().prefillSeconds()));
    } else if (rows.get(0).speed() != null) {
      cells.addAll(List.of("-", "-", "-"));
    }
    return cells;
  }

  private static String ratio(Estimate ratio) {
    return Double.isNaN(ratio.standardError())
        ? Table.format("%.3f", ratio.value())
        : Table.format("%.3f ± %.3f", ratio.value(), ratio.standardError());
  }

  private static String percent(double fraction) {
    return Table.format("%.1f %%", 100 * fraction);
  }

  private ObjectNode object(Row row) {
    ObjectNode node = Report.newRow();
    node.put("policy", row.policy());
    Report.putNumber(node, "perplexity", row.perplexity().value());
    Report.putNumber(node, "perplexity_stderr", row.perplexity().standardError());
    Report.putNumber(node, "byte_perplexity", protocol.bytePerplexity(row.perplexity().value()));
    Report.putNumber(node, "ratio", row.ratio().value());
    Report.putNumber(node, "ratio_stderr", row.ratio().standardError());
    Report.putNumber(node, "divergence", row.divergence());
    Report.putNumber(node, "same_token_fraction", row.agreement());
    Report.putNumber(node, "kv_fraction", row.kvFraction());
    node.put("kv_bytes_per_token", row.kvBytesPerToken());
    if (row.cache() != null) {
      node.put("cache", row.cache().policy());
      Report.putNumber(node, "sharing_fraction", row.cache().sharingFraction());
      Report.putNumber(node, "cache_fraction", row.cache().policyFraction());
      node.put("kv_bytes", row.cache().bytes());
    }
    double unknown = Double.NaN;
    Speed speed = row.speed() == null ? new Speed(unknown, unknown, unknown) : row.speed();
    Report.putNumber(node, "prefill_tokens_per_second", speed.prefillTokensPerSecond());
    Report.putNumber(node, "decode_tokens_per_second", speed.decodeTokensPerSecond());
    Report.putNumber(node, "prefill_seconds", speed.prefillSeconds());
    return node;
  }
}
