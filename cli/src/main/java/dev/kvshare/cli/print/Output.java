package dev.kvshare.cli.print;

import dev.kvshare.eval.format.Table;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Where a command writes: results to one stream, everything else to the other. */
public final class Output {
  private final Terminal terminal;
  private final boolean quiet;
  private final boolean verbose;
  private final boolean color;

  public Output(Terminal terminal, boolean quiet, boolean verbose, boolean noColor) {
    this.terminal = terminal;
    this.quiet = quiet;
    this.verbose = verbose;
    this.color = terminal.outIsTerminal() && !noColor && !terminal.forbidsColor();
  }

  /** The stream of the results. */
  public PrintWriter results() {
    return terminal.out();
  }

  /** Prints facts in two columns: names, and beside them what is said of each. */
  public void print(Map<String, List<String>> facts) {
    print(facts, terminal.out());
  }

  /** As {@link #print}, on the stream of figures about the run. */
  public void printStatistics(Map<String, List<String>> facts) {
    print(facts, terminal.err());
  }

  private static void print(Map<String, List<String>> facts, PrintWriter out) {
    List<List<String>> rows = new ArrayList<>();
    facts.forEach(
        (name, lines) -> {
          for (int line = 0; line < lines.size(); line++) {
            rows.add(List.of(line == 0 ? name : "", lines.get(line)));
          }
        });
    out.print(Table.words(rows));
    out.flush();
  }

  /** The stream of figures about the run, which must not mix with the results. */
  public PrintWriter statistics() {
    return terminal.err();
  }

  /**
   * Shows a person what the text that follows continues. Where no person watches, the results hold
   * the continuation alone.
   */
  public void echo(String prompt) {
    if (terminal.outIsTerminal() && terminal.errIsTerminal() && !quiet) {
      terminal.err().print(prompt);
      terminal.err().flush();
    }
  }

  /** Whether results may be colored. */
  boolean color() {
    return color;
  }

  /** Whether the reader of the results has gone away. */
  boolean readerIsGone() {
    return terminal.readerIsGone();
  }

  /** The stream of the progress bar. */
  PrintWriter progress() {
    return terminal.err();
  }

  /** The width of the terminal in characters. */
  int columns() {
    return terminal.columns();
  }

  /** Whether a progress bar may be drawn. */
  boolean showsProgress() {
    return terminal.errIsTerminal() && !quiet;
  }

  /** A line about what is going on; not with --quiet. */
  public void note(String line) {
    if (!quiet) {
      terminal.err().println(line);
    }
  }

  /** A line about what is going on for those who asked for more; only with --verbose. */
  public void detail(String line) {
    if (verbose) {
      terminal.err().println(line);
    }
  }

  /** Something that the user should know although the command goes on. */
  public void warn(String sentence) {
    terminal.err().println("kvshare: warning: " + sentence);
  }
}
