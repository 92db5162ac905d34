package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.Checkpoints;
import dev.kvshare.runtime.ComputeType;
import dev.kvshare.runtime.Decoder;
import dev.kvshare.runtime.DecoderOptions;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The search on a tiny random Llama against what the KVSharer authors' code gives. */
class KvSharerTinyTest {
  private static Checkpoint checkpoint;
  private static Decoder decoder;
  private static Calibrator calibrator;

  @BeforeAll
  static void load() {
    checkpoint = Checkpoints.open(KvSharerGolden.path("tiny_llama"));
    decoder = Decoder.load(checkpoint, new DecoderOptions("cpu", ComputeType.FLOAT32, 2));
    calibrator = new Calibrator(decoder, KvSharerGolden.identity(checkpoint, decoder));
  }

  @AfterAll
  static void close() {
    decoder.close();
    checkpoint.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"equal_lengths", "one_short_sequence"})
  void reproducesRankingSimilaritiesAndMaps(String set) {
    JsonNode golden = KvSharerGolden.read("kvsharer_tiny.json").get("sets").get(set);
    KvStatistics statistics =
        calibrator.capture(
            KvSharerGolden.dataset(), KvSharerGolden.tokenIds(golden), CalibrationListener.NONE);
    KvSharerGolden.assertRanking(golden, "ranked_pairs", statistics);
    assertEquals(4, golden.get("searches").size());
    for (JsonNode search : golden.get("searches")) {
      SearchOutcome outcome =
          KvSharerGolden.assertSearch(search, search.get("trace"), calibrator, statistics);
      assertEquals(search.get("reached").booleanValue(), outcome.reached());
      assertTrue(outcome.work().saved() > 0, outcome.work().toString());
    }
  }
}
