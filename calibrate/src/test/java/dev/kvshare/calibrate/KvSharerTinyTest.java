package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.search.SearchOutcome;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The search on a tiny random Llama against what the KVSharer authors' code gives. */
@Tag("numerics")
class KvSharerTinyTest {
  private static TinyModel model;

  @BeforeAll
  static void load() {
    model = TinyModel.open();
  }

  @AfterAll
  static void close() {
    model.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"equal_lengths", "one_short_sequence"})
  void reproducesRankingSimilaritiesAndMaps(String set) {
    JsonNode golden = KvSharerGolden.read("kvsharer_tiny.json").get("sets").get(set);
    KvStatistics statistics = model.calibration(TinyModel.samples(set)).capture();
    KvSharerGolden.assertRanking(golden, "ranked_pairs", statistics);
    assertEquals(4, golden.get("searches").size());
    for (JsonNode search : golden.get("searches")) {
      SearchOutcome outcome =
          KvSharerGolden.assertSearch(search, search.get("trace"), model.loaded(), statistics);
      assertEquals(search.get("reached").booleanValue(), outcome.reached());
      assertTrue(outcome.work().factor() > 2, outcome.work().toString());
    }
  }
}
