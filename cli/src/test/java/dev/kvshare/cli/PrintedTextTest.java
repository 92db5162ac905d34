package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.generate.GenerationResult.FinishReason;
import dev.kvshare.apply.model.MemorySize;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.PlanDescription;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.report.TextHeatMap;
import dev.kvshare.cli.print.GenerationPrinter;
import dev.kvshare.cli.print.Invocation;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.Terminal;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The small pieces that commands print with. */
class PrintedTextTest {

  @ParameterizedTest
  @CsvSource({
    "8GiB, 8589934592",
    "1.5 gib, 1610612736",
    "512m, 536870912",
    "2MB, 2000000",
    "65536, 65536",
    "10b, 10"
  })
  void memorySizesAreRead(String text, long bytes) {
    assertEquals(bytes, MemorySize.parse(text));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "0", "-1", "8 apples", "GiB", "1e9", "99999999999999GiB"})
  void otherMemorySizesAreRefused(String text) {
    assertThrows(IllegalArgumentException.class, () -> MemorySize.parse(text));
  }

  @Test
  void memorySizesArePrintedInTheirUnit() {
    assertEquals("768 bytes", MemorySize.text(768));
    assertEquals("1.0 KiB", MemorySize.text(1024));
    assertEquals("22.5 KiB", MemorySize.text(23040));
    assertEquals("8.0 GiB", MemorySize.text(8L << 30));
  }

  @Test
  void layersAreWrittenAsRanges() {
    assertEquals("layer 3", PlanDescription.layers(List.of(3)));
    assertEquals("layers 0-4, 6, 8-9", PlanDescription.layers(List.of(0, 1, 2, 3, 4, 6, 8, 9)));
  }

  @Test
  void commandLinesCanBeCopiedIntoAShell() {
    assertEquals(
        "kvshare apply --prompt 'it'\\''s' --policy 'my file.json' -n 3",
        Invocation.of(List.of("apply", "--prompt", "it's", "--policy", "my file.json", "-n", "3")));
    assertEquals("''", Invocation.quote(""));
    assertEquals("modèles/x.gguf", Invocation.quote("modèles/x.gguf"));
  }

  @Test
  void aMapIsDrawnWithItsReaders() {
    assertEquals(
        List.of(
            "  0 ● ● ○ ● ○",
            "    ● keeps its own keys and values   ○ reads those of another layer",
            "    2 reads 1, 4 reads 0"),
        PlanDescription.picture(Plan.of(SharingMap.of(0, 1, 1, 3, 0))));
    assertEquals(" 32 ● ●", PlanDescription.picture(Plan.identity(34)).get(1));
  }

  @Test
  void aHeatMapIsDarkWhereLayersDiffer() {
    double[][] distances = {{}, {1}, {2, 5}, {Double.NaN, 3, 4}};
    assertEquals(
        List.of(
            "  1 ··",
            "  2 ░░██",
            "  3   ▒▒▓▓",
            "    0",
            "    · alike (1.00) to █ different (5.00); blank: must not share"),
        TextHeatMap.lines(new DistanceMatrix(distances, distances)));
  }

  @Test
  void rowsOfABatchArePrintedOneAfterAnother() {
    StringWriter out = new StringWriter();
    Terminal terminal =
        new Terminal(
            new PrintWriter(out), new PrintWriter(new StringWriter()), false, false, 80, Map.of());
    GenerationPrinter printer =
        new GenerationPrinter(
            new Output(terminal, false, false, false), List.of("a", "b"), false, 0);
    assertTrue(printer.onToken(0, 1, "one"));
    assertTrue(printer.onToken(1, 2, "two"));
    assertEquals(lines(">>> a", "one"), out.toString() + System.lineSeparator());
    printer.onFinish(1, " and more", FinishReason.END_TOKEN);
    printer.onFinish(0, ".", FinishReason.STOP_STRING);
    assertEquals(lines(">>> a", "one.", "", ">>> b", "two and more"), out.toString());
  }

  @Test
  void tokenIdsArePrintedOneRowALine() {
    StringWriter out = new StringWriter();
    Terminal terminal =
        new Terminal(
            new PrintWriter(out), new PrintWriter(new StringWriter()), false, false, 80, Map.of());
    GenerationPrinter printer =
        new GenerationPrinter(
            new Output(terminal, false, false, false), List.of("a", "b"), true, 0);
    printer.onToken(0, 5, "x");
    printer.onToken(1, 6, "y");
    printer.onToken(0, 7, "z");
    printer.onFinish(0, "", FinishReason.MAX_NEW_TOKENS);
    printer.onFinish(1, "", FinishReason.MAX_NEW_TOKENS);
    assertEquals(lines("5,7", "6"), out.toString());
  }

  private static String lines(String... lines) {
    return String.join(System.lineSeparator(), lines) + System.lineSeparator();
  }
}
