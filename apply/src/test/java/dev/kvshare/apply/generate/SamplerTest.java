package dev.kvshare.apply.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.generate.SamplingOptions.Sampler;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Sampling against the logits processors of transformers ({@code
 * src/test/python/make_sampling_cases.py}) and against its own distribution.
 */
class SamplerTest {
  private static final int DRAWS = 20_000;

  record Case(JsonNode settings, List<Float> row, BitSet occurred, JsonNode expected) {
    float[] logits() {
      float[] logits = new float[row.size()];
      for (int id = 0; id < logits.length; id++) {
        logits[id] = row.get(id);
      }
      return logits;
    }

    SamplingOptions options(long seed) {
      return new SamplingOptions(
          settings.path("temperature").asDouble(1),
          settings.path("top_k").asInt(0),
          settings.path("top_p").asDouble(1),
          settings.path("min_p").asDouble(0),
          settings.path("repetition_penalty").asDouble(1),
          seed);
    }

    @Override
    public String toString() {
      return settings + " row " + expected.get("row");
    }
  }

  static Stream<Case> cases() throws IOException {
    Path file = Path.of("src", "test", "resources", "sampling", "cases.json");
    JsonNode root = new ObjectMapper().readTree(file.toFile());
    BitSet occurred = new BitSet();
    root.get("ids").forEach(id -> occurred.set(id.intValue()));
    return StreamSupport.stream(root.get("cases").spliterator(), false)
        .map(
            node -> {
              List<Float> row = new ArrayList<>();
              root.get("rows")
                  .get(node.get("row").intValue())
                  .forEach(logit -> row.add(logit.floatValue()));
              return new Case(node.get("settings"), row, occurred, node);
            });
  }

  @ParameterizedTest
  @MethodSource("cases")
  void shapesLogitsAsTransformers(Case given) {
    SamplingOptions options = given.options(0);
    float[] logits = given.logits();
    Sampler.repetitionPenalty(logits, given.occurred(), options.repetitionPenalty());
    Sampler.temperature(logits, options.temperature());
    if (options.topK() > 0) {
      Sampler.topK(logits, options.topK());
    }
    if (options.topP() < 1) {
      Sampler.topP(logits, options.topP());
    }
    if (options.minP() > 0) {
      Sampler.minP(logits, options.minP());
    }
    float[] expected = new float[logits.length];
    for (int id = 0; id < expected.length; id++) {
      JsonNode value = given.expected().get("logits").get(id);
      expected[id] = value.isNull() ? Float.NEGATIVE_INFINITY : value.floatValue();
    }
    assertArrayEquals(expected, logits, 1e-5f);
  }

  @ParameterizedTest
  @MethodSource("cases")
  void drawsWithTheProbabilitiesOfTransformers(Case given) {
    int[] counts = new int[given.row().size()];
    SplittableRandom random = new SplittableRandom(11);
    for (int draw = 0; draw < DRAWS; draw++) {
      Sampler sampler =
          new Sampler(given.options(0), random.split(), given.occurred(), new BitSet());
      counts[sampler.choose(given.logits())]++;
    }
    for (int id = 0; id < counts.length; id++) {
      double probability = given.expected().get("probabilities").get(id).doubleValue();
      double deviation = Math.sqrt(probability * (1 - probability) / DRAWS);
      double tolerance = probability == 0 ? 0 : 5 * deviation + 2.0 / DRAWS;
      assertEquals(probability, (double) counts[id] / DRAWS, tolerance, "token " + id);
    }
  }

  @Test
  void takesTheHighestLogitWhenGreedy() {
    Sampler sampler = sampler(SamplingOptions.GREEDY, new BitSet());
    assertEquals(2, sampler.choose(new float[] {1, -3, 4, 4}));
  }

  @Test
  void neverChoosesAnExcludedToken() {
    BitSet excluded = new BitSet();
    excluded.set(2);
    excluded.set(3);
    assertEquals(0, sampler(SamplingOptions.GREEDY, excluded).choose(new float[] {1, -3, 4, 4}));
    Sampler drawing = sampler(SamplingOptions.ofTemperature(5, 1), excluded);
    for (int draw = 0; draw < 200; draw++) {
      assertTrue(drawing.choose(new float[] {1, -3, 4, 4}) < 2);
    }
  }

  @Test
  void countsItsOwnTokensAsOccurred() {
    Sampler sampler = sampler(new SamplingOptions(0, 0, 1, 0, 2, 0), new BitSet());
    assertEquals(0, sampler.choose(new float[] {4, 3, 1}));
    assertEquals(1, sampler.choose(new float[] {4, 3, 1}));
    assertEquals(0, sampler.choose(new float[] {4, 3, 1}));
  }

  private static Sampler sampler(SamplingOptions options, BitSet excluded) {
    return new Sampler(options, new SplittableRandom(1), new BitSet(), excluded);
  }
}
