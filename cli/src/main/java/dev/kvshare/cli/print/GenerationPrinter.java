package dev.kvshare.cli.print;

import dev.kvshare.apply.generate.GenerationResult.FinishReason;
import dev.kvshare.apply.generate.ProcessMemory;
import dev.kvshare.apply.generate.TokenListener;
import dev.kvshare.apply.model.MemorySize;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Prints generated rows one after another, each as it grows, and now and then the memory they take.
 * The rows of a batch grow together: the first that has not ended is printed at once, the others
 * are kept until their turn.
 */
public final class GenerationPrinter implements TokenListener {

  private static final class Row {
    final StringBuilder pending = new StringBuilder();
    boolean begun;
    boolean ended;
    boolean empty = true;
  }

  private final Output output;
  private final List<String> titles;
  private final boolean ids;
  private final int statisticsEvery;
  private final List<Row> rows = new ArrayList<>();
  private int current;

  /**
   * @param titles what stands above each row, one for each prompt; nothing above a single row
   * @param ids whether to print token ids, separated by commas, instead of text
   * @param statisticsEvery new tokens between two lines about memory, 0 for none
   */
  public GenerationPrinter(Output output, List<String> titles, boolean ids, int statisticsEvery) {
    this.output = output;
    this.statisticsEvery = statisticsEvery;
    this.titles = List.copyOf(titles);
    this.ids = ids;
    titles.forEach(title -> rows.add(new Row()));
  }

  @Override
  public boolean onToken(int row, int tokenId, String text) {
    Row target = rows.get(row);
    target.pending.append(ids ? (target.empty ? "" : ",") + tokenId : text);
    target.empty = false;
    advance();
    return !output.readerIsGone();
  }

  @Override
  public void onStep(int newTokens, long kvBytes) {
    if (statisticsEvery > 0 && newTokens % statisticsEvery == 0) {
      output
          .statistics()
          .printf(
              Locale.ROOT,
              "%d tokens: KV cache %d bytes, process %s%n",
              newTokens,
              kvBytes,
              MemorySize.text(ProcessMemory.residentBytes().orElse(0)));
      output.statistics().flush();
    }
  }

  @Override
  public void onFinish(int row, String text, FinishReason reason) {
    Row target = rows.get(row);
    if (!ids) {
      target.pending.append(text);
    }
    target.ended = true;
    advance();
  }

  private void advance() {
    PrintWriter out = output.results();
    while (current < rows.size()) {
      Row row = rows.get(current);
      if (!row.begun && rows.size() > 1 && !ids) {
        out.println((current == 0 ? "" : "\n") + ">>> " + titles.get(current));
      }
      row.begun = true;
      out.print(row.pending);
      row.pending.setLength(0);
      if (!row.ended) {
        break;
      }
      out.println();
      current++;
    }
    out.flush();
  }
}
