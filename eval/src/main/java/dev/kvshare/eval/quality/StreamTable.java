package dev.kvshare.eval.quality;

import static dev.kvshare.eval.format.ReportTable.format;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.eval.format.EvaluationTable;
import dev.kvshare.eval.format.ReportContent;
import dev.kvshare.eval.format.ReportJson;
import java.util.ArrayList;
import java.util.List;

/** The stretches of a long text as they are printed: one row each. */
public final class StreamTable {
  private StreamTable() {}

  public static ReportContent of(StreamReport report) {
    List<List<String>> cells = new ArrayList<>();
    cells.add(List.of("policy", "cache", "tokens", "perplexity", "KV bytes", "process MiB"));
    List<ObjectNode> objects = new ArrayList<>();
    for (StreamRow row : report.rows()) {
      for (StreamSegment segment : row.segments()) {
        cells.add(cells(row, segment));
        objects.add(object(row, segment));
      }
    }
    return new ReportContent(cells, objects, report.windows(), report.windows().notes());
  }

  private static List<String> cells(StreamRow row, StreamSegment segment) {
    return List.of(
        row.policy() == null ? EvaluationTable.UNSHARED : row.policy(),
        row.cache() == null ? EvaluationTable.WHOLE_CACHE : row.cache(),
        String.valueOf(segment.tokens()),
        format("%.2f", segment.perplexity()),
        format("%,d", segment.kvBytes()),
        segment.residentBytes().isPresent()
            ? format("%.1f", segment.residentBytes().getAsLong() / (double) (1 << 20))
            : "-");
  }

  private static ObjectNode object(StreamRow row, StreamSegment segment) {
    ObjectNode node = ReportJson.newObject();
    node.put("policy", row.policy());
    node.put("cache", row.cache());
    node.put("tokens", segment.tokens());
    ReportJson.putNumber(node, "perplexity", segment.perplexity());
    node.put("kv_bytes", segment.kvBytes());
    if (segment.residentBytes().isPresent()) {
      node.put("resident_bytes", segment.residentBytes().getAsLong());
    } else {
      node.putNull("resident_bytes");
    }
    return node;
  }
}
