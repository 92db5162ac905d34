package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.search.KvSharerMethod;
import dev.kvshare.calibrate.search.SearchOutcome;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/** Recorded results of the KVSharer authors' code, and the comparison with them. */
public final class KvSharerGolden {
  private static final double RELATIVE_DISTANCE = 1e-4;
  private static final double SIMILARITY = 1e-4;
  private static final ObjectMapper JSON = new ObjectMapper();

  private KvSharerGolden() {}

  /** A file or folder of the goldens. */
  public static Path path(String name) {
    return Path.of(
        System.getProperty("kvshare.root"), "apply/src/test/resources/goldens/reference", name);
  }

  static JsonNode read(String name) {
    try {
      return JSON.readTree(path(name).toFile());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static List<int[]> tokenIds(JsonNode golden) {
    List<int[]> samples = new ArrayList<>();
    for (JsonNode sample : golden.get("token_ids")) {
      samples.add(JSON.convertValue(sample, int[].class));
    }
    return samples;
  }

  static DatasetReference dataset() {
    return new DatasetReference("recorded token ids", "0".repeat(64));
  }

  /** Compares the matrix and the order of all pairs. */
  static void assertRanking(JsonNode golden, String rankedPairs, KvStatistics statistics) {
    DistanceMatrix distances = statistics.distances();
    double worst = 0;
    for (int layer = 0; layer < distances.layers(); layer++) {
      for (int source = 0; source < layer; source++) {
        double expected = golden.get("distance_matrix_lower").get(layer).get(source).doubleValue();
        double actual = distances.distance(layer, source);
        worst = Math.max(worst, Math.abs(actual / expected - 1));
        assertEquals(
            expected,
            actual,
            RELATIVE_DISTANCE * expected,
            "distance of " + layer + " and " + source);
      }
    }
    System.out.printf("distances: largest relative difference %.1e%n", worst);
    List<DistanceMatrix.Pair> ranking = new KvSharerMethod().rank(distances);
    assertEquals(pairs(golden.get(rankedPairs)), pairs(ranking));
  }

  /** Runs one recorded search again: every test in order, its similarity, and the final map. */
  static SearchOutcome assertSearch(
      JsonNode search, JsonNode trace, LoadedModel model, KvStatistics statistics) {
    Keep keep = new Keep.SharedLayers(search.get("share_layers").intValue());
    double threshold = search.get("threshold").doubleValue();
    CalibrationResult result =
        Calibration.of(model)
            .statistics(statistics)
            .method("kvsharer")
            .keep(keep)
            .threshold(threshold)
            .run();
    SearchOutcome outcome = result.outcome();
    int layers = statistics.model().layers();
    double worst = 0;
    for (int step = 0; step < Math.min(trace.size(), outcome.tested().size()); step++) {
      JsonNode expected = trace.get(step);
      SearchOutcome.Tested tested = outcome.tested().get(step);
      String where = "test " + step + " of " + keep + ", " + threshold;
      assertEquals(expected.get("rank").intValue(), tested.rank(), where);
      assertEquals(map(layers, expected.get("candidate_map")), tested.map(), where);
      double similarity = expected.get("mean_cosine").doubleValue();
      if (tested.measured().isComplete()) {
        assertEquals(similarity, tested.similarity(), SIMILARITY, where);
        worst = Math.max(worst, Math.abs(similarity - tested.similarity()));
      } else {
        assertTrue(similarity < tested.measured().upperBound() + SIMILARITY, where);
        assertTrue(tested.measured().upperBound() <= threshold, where);
      }
      assertEquals(expected.get("accepted").booleanValue(), tested.accepted(), where);
    }
    System.out.printf(
        "%s above %s: %d tests, largest difference of a similarity %.1e, %s%n",
        keep, threshold, trace.size(), worst, result.work());
    assertEquals(trace.size(), outcome.tested().size());
    assertEquals(map(layers, search.get("map")), outcome.map());
    return outcome;
  }

  /** The first tests of a trace. */
  static JsonNode first(JsonNode trace, int tests) {
    ArrayNode prefix = JSON.createArrayNode();
    for (int step = 0; step < tests; step++) {
      prefix.add(trace.get(step));
    }
    return prefix;
  }

  private static SharingMap map(int layers, JsonNode shared) {
    int[] source = IntStream.range(0, layers).toArray();
    shared
        .properties()
        .forEach(entry -> source[Integer.parseInt(entry.getKey())] = entry.getValue().intValue());
    return SharingMap.of(source);
  }

  private static String pairs(JsonNode pairs) {
    StringBuilder text = new StringBuilder();
    pairs.forEach(pair -> text.append(pair.get(0).intValue() + "-" + pair.get(1).intValue() + " "));
    return text.toString();
  }

  private static String pairs(List<DistanceMatrix.Pair> pairs) {
    StringBuilder text = new StringBuilder();
    pairs.forEach(pair -> text.append(pair.layer() + "-" + pair.source() + " "));
    return text.toString();
  }
}
