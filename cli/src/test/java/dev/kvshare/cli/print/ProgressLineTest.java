package dev.kvshare.cli.print;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class ProgressLineTest {
  private final StringWriter err = new StringWriter();
  private final AtomicLong seconds = new AtomicLong();

  @Test
  void withoutATerminalALineEveryHalfMinuteSaysHowFarItIs() {
    try (ProgressLine line = line(false)) {
      line.show("judging plans", 0, 10, "");
      at(29, () -> line.show("judging plans", 1, 10, ""));
      at(40, () -> line.show("judging plans", 2, 10, "best 0.1"));
      at(60, () -> line.show("judging plans", 3, 10, ""));
      at(71, () -> line.show("refitting layers", 0, 4, ""));
    }
    assertEquals(
        """
        judging plans: 2 of 10, about 2:40 left, best 0.1
        refitting layers: 0 of 4
        """,
        err.toString());
  }

  @Test
  void quietSaysNothing() {
    try (ProgressLine line = line(true)) {
      at(31, () -> line.show("judging plans", 1, 10, ""));
    }
    assertEquals("", err.toString());
  }

  private ProgressLine line(boolean quiet) {
    PrintWriter writer = new PrintWriter(err, true);
    Terminal terminal = new Terminal(writer, writer, false, false, 80, Map.of());
    Output output = new Output(terminal, quiet, false, false);
    return new ProgressLine(output, () -> TimeUnit.SECONDS.toNanos(seconds.get()));
  }

  private void at(long second, Runnable step) {
    seconds.set(second);
    step.run();
  }
}
