package dev.kvshare.cli;

import dev.kvshare.eval.StreamRow;
import dev.kvshare.eval.StreamSegment;
import java.util.List;
import java.util.Locale;

/** What {@code eval --stream} prints. */
final class StreamTable {
  private StreamTable() {}

  static TextTable of(List<StreamRow> rows) {
    TextTable table =
        new TextTable(List.of("policy", "cache", "tokens", "perplexity", "KV bytes", "process"));
    for (StreamRow row : rows) {
      for (StreamSegment segment : row.segments()) {
        table.add(
            List.of(
                row.policy() == null ? "(unshared)" : row.policy(),
                row.cache() == null ? "(all)" : row.cache(),
                String.valueOf(segment.tokens()),
                String.format(Locale.ROOT, "%.2f", segment.perplexity()),
                String.format(Locale.ROOT, "%,d", segment.kvBytes()),
                segment.residentBytes().isPresent()
                    ? MemorySize.text(segment.residentBytes().getAsLong())
                    : "-"));
      }
    }
    return table;
  }
}
