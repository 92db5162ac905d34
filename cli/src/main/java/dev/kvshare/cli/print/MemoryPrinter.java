package dev.kvshare.cli.print;

import dev.kvshare.apply.generate.FinishReason;
import dev.kvshare.apply.generate.ProcessMemory;
import dev.kvshare.apply.generate.TokenListener;
import dev.kvshare.cli.options.MemorySize;
import java.io.PrintWriter;
import java.util.Locale;

/** Says now and then how much memory a generation takes. */
public final class MemoryPrinter implements TokenListener {
  private final TokenListener rows;
  private final PrintWriter out;
  private final int tokens;

  /**
   * @param rows hears everything else
   * @param tokens new tokens between two lines
   */
  public MemoryPrinter(TokenListener rows, PrintWriter out, int tokens) {
    this.rows = rows;
    this.out = out;
    this.tokens = tokens;
  }

  @Override
  public boolean onToken(int row, int tokenId, String text) {
    return rows.onToken(row, tokenId, text);
  }

  @Override
  public void onStep(int newTokens, long kvBytes) {
    if (newTokens % tokens == 0) {
      out.printf(
          Locale.ROOT,
          "%d tokens: KV cache %d bytes, process %s%n",
          newTokens,
          kvBytes,
          MemorySize.text(ProcessMemory.residentBytes().orElse(0)));
      out.flush();
    }
  }

  @Override
  public void onFinish(int row, String text, FinishReason reason) {
    rows.onFinish(row, text, reason);
  }
}
