package dev.kvshare.cli.print;

import dev.kvshare.apply.generate.FinishReason;
import dev.kvshare.apply.generate.TokenListener;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;

/**
 * Prints generated rows one after another, each as it grows. The rows of a batch grow together: the
 * first that has not ended is printed at once, the others are kept until their turn.
 */
public final class RowPrinter implements TokenListener {

  private static final class Row {
    final StringBuilder pending = new StringBuilder();
    boolean begun;
    boolean ended;
    boolean empty = true;
  }

  private final Output output;
  private final List<String> titles;
  private final boolean ids;
  private final List<Row> rows = new ArrayList<>();
  private int current;

  /**
   * @param titles what stands above each row, one for each prompt; nothing above a single row
   * @param ids whether to print token ids, separated by commas, instead of text
   */
  public RowPrinter(Output output, List<String> titles, boolean ids) {
    this.output = output;
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
