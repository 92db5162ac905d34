package dev.kvshare.cli.print;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.cli.command.ComparedMap;
import dev.kvshare.eval.format.ReportFormat;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ComparisonTableTest {
  private static final List<ComparedMap> MAPS =
      List.of(map("dissimilar", 3, 1.5), map("random", 3, 2), map("random", 3, 4));

  @TempDir private Path folder;

  @Test
  void mapsOfOneMethodAreOneRowWithTheErrorOfTheirMean() {
    assertEquals(
        """
        | size | method | maps | share | emma plain | emma repaired | search s | repair s |
        |---|---|---|---|---|---|---|---|
        | 3 | dissimilar | 1 | 3.00 | 1.500 ± 0.100 | 1.100 ± 0.010 | 2 | 5 |
        | 3 | random | 2 | 3.00 | 3.000 ± 1.000 | 1.100 ± 0.000 | 2 | 5 |
        """,
        new ComparisonTable(MAPS).write(ReportFormat.MARKDOWN));
    assertTrue(
        new ComparisonTable(MAPS)
            .write(ReportFormat.CSV)
            .startsWith("size,method,maps,share,emma plain,"));
    assertTrue(new ComparisonTable(MAPS).write(ReportFormat.JSON).contains("\"plainError\" : 0.1"));
    assertTrue(new ComparisonTable(MAPS).write(ReportFormat.TEXT).startsWith("size  method"));
  }

  @Test
  void whatWasMeasuredIsTakenAgainUnlessItWasCutOffOrOfAnotherComparison() throws IOException {
    Path file = folder.resolve("random0-3.rows.json");
    assertNull(ComparedMap.readOrNull(file, "settings"));
    MAPS.get(0).write(file);
    assertEquals(MAPS.get(0), ComparedMap.readOrNull(file, "settings"));
    assertNull(ComparedMap.readOrNull(file, "others"));
    Files.writeString(file, Files.readString(file).substring(0, 40));
    assertNull(ComparedMap.readOrNull(file, "settings"));
  }

  private static ComparedMap map(String method, int size, double plain) {
    return new ComparedMap(
        "settings",
        method,
        size,
        size,
        2,
        5,
        List.of(new ComparedMap.OnText("emma", 40, plain, 0.1, 1.1, 0.01)));
  }
}
