package dev.kvshare.apply.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.inference.Predictor;
import ai.djl.modality.nlp.generate.CausalLMOutput;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.repository.zoo.Criteria;
import ai.djl.repository.zoo.ZooModel;
import ai.djl.translate.TranslateException;
import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.generate.Conformance;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A predictor of DJL gives the tokens and logits that every runtime of a policy must give. */
@Tag("numerics")
class DjlConformanceTest {

  @ParameterizedTest
  @MethodSource("dev.kvshare.apply.generate.Conformance#models")
  void aPredictorGivesTheStoredTokensAndLogits(String model) throws Exception {
    List<Path> policies;
    try (Stream<Path> files = Files.list(Conformance.ROOT.resolve(model))) {
      policies = files.filter(file -> file.toString().endsWith(".json")).sorted().toList();
    }
    assertEquals(9, policies.size());
    for (Path policy : policies) {
      Criteria<NDList, CausalLMOutput> criteria =
          KvshareTranslatorFactory.criteria(
                  NDList.class, CausalLMOutput.class, Conformance.checkpoint(model))
              .optArgument("policy", policy.toString())
              .optArgument("threads", 1)
              .build();
      try (ZooModel<NDList, CausalLMOutput> loaded = criteria.loadModel();
          Predictor<NDList, CausalLMOutput> predictor = loaded.newPredictor()) {
        check(predictor, policy);
      }
    }
  }

  /** Both prompts as one batch, padded at the left. */
  private static void check(Predictor<NDList, CausalLMOutput> predictor, Path policy)
      throws TranslateException {
    Path expected = Conformance.expected(policy);
    long[][] prompts = {
      Goldens.longs(expected, "prompt.0"), Goldens.longs(expected, "prompt.1"),
    };
    int columns = prompts[0].length;
    int rows = prompts.length;
    long[] tokens = new long[rows * Conformance.NEW_TOKENS];
    float[] logits = Goldens.floats(expected, "logits");
    int vocabulary = logits.length / 2;
    try (NDManager manager = NDManager.newBaseManager()) {
      long[] ids = new long[rows * columns];
      for (int row = 0; row < rows; row++) {
        int length = prompts[row].length;
        System.arraycopy(prompts[row], 0, ids, (row + 1) * columns - length, length);
      }
      NDList past = new NDList();
      for (int step = 0; step < Conformance.NEW_TOKENS; step++) {
        long[] mask = mask(prompts, columns + step);
        NDList input =
            new NDList(
                manager.create(ids, new Shape(rows, ids.length / rows)),
                manager.create(positions(mask, rows, ids.length / rows)),
                manager.create(mask, new Shape(rows, columns + step)));
        CausalLMOutput output = predictor.predict(input.addAll(past));
        past = output.getPastKeyValuesList();
        float[] last = output.getLogits().toFloatArray();
        if (step == 0 || step == Conformance.NEW_TOKENS - 1) {
          int at = step == 0 ? 0 : vocabulary;
          float[] stored = Arrays.copyOfRange(logits, at, at + vocabulary);
          float[] found = Arrays.copyOf(last, vocabulary);
          assertEquals(
              0, Goldens.difference(stored, found), Conformance.TOLERANCE, policy.toString());
        }
        ids = new long[rows];
        for (int row = 0; row < rows; row++) {
          ids[row] = Conformance.highest(last, row * vocabulary, vocabulary);
          tokens[row * Conformance.NEW_TOKENS + step] = ids[row];
        }
      }
    }
    assertArrayEquals(Goldens.longs(expected, "tokens"), tokens, policy.toString());
  }

  private static long[] mask(long[][] prompts, int columns) {
    int longest = prompts[0].length;
    long[] mask = new long[prompts.length * columns];
    for (int row = 0; row < prompts.length; row++) {
      Arrays.fill(
          mask, row * columns + longest - prompts[row].length, (row + 1) * columns, /* val= */ 1);
    }
    return mask;
  }

  /** [B, T]: how many tokens stand before each of the last ones. */
  private static long[][] positions(long[] mask, int rows, int tokens) {
    int columns = mask.length / rows;
    long[][] positions = new long[rows][tokens];
    for (int row = 0; row < rows; row++) {
      long seen = 0;
      for (int column = 0; column < columns; column++) {
        int at = column - (columns - tokens);
        if (at >= 0) {
          positions[row][at] = seen;
        }
        seen += mask[row * columns + column];
      }
    }
    return positions;
  }
}
