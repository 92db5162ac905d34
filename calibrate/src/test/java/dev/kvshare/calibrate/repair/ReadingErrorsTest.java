package dev.kvshare.calibrate.repair;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.QueryFit;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a layer would lack that read another one. */
class ReadingErrorsTest {
  private static final int WINDOWS = 40;
  private static final int TOKENS = 16;

  /** Below a layer that shares alone, a repair sees the unshared model: the errors are its own. */
  @ParameterizedTest
  @ValueSource(strings = {"llama", "gemma2", "gpt_neox", "olmo2", "qwen3_moe"})
  void theErrorIsThatOfARepairOfThePairAlone(String family) {
    RepairSettings settings =
        RepairSettings.DEFAULT
            .withParts(Set.of(Part.ATTENTION))
            .withScope(RepairSettings.Scope.SHARED)
            .withOwnToken(false)
            .withQueries(QueryFit.Settings.NONE)
            .withStrength(1e-1);
    try (Decoder decoder = TinyModels.load(TinyModels.architecture(family))) {
      RepairPassages windows = TinyModels.windows(decoder, WINDOWS, TOKENS);
      double[][] errors =
          new ReadingErrors(decoder).measure(windows, decoder.spec()::mayShare, done -> {});
      int layers = decoder.spec().layers();
      for (int layer = 0; layer < layers; layer++) {
        assertEquals(layer, errors[layer].length);
        for (int source = 0; source < layer; source++) {
          assertEquals(decoder.spec().mayShare(layer, source), errors[layer][source] >= 0);
          if (decoder.spec().mayShare(layer, source)) {
            SharingMap map = SharingMap.identity(layers).withShared(layer, source);
            try (RepairOutcome outcome =
                new Repair(decoder, settings).repair(Plan.of(map), windows, done -> {})) {
              double expected = outcome.fits().get(0).errorAfter();
              assertEquals(expected, errors[layer][source], 1e-6 * expected, layer + "-" + source);
            }
          }
        }
      }
    }
  }

  @Test
  void onlyPairsThatAreAskedForAreMeasured() {
    try (Decoder decoder = TinyModels.load(TinyModels.architecture("llama"))) {
      RepairPassages windows = TinyModels.windows(decoder, 10, TOKENS);
      double[][] errors =
          new ReadingErrors(decoder)
              .measure(windows, (layer, source) -> source == 1 && layer == 3, done -> {});
      assertTrue(errors[3][1] > 0);
      assertTrue(Double.isNaN(errors[3][0]) && Double.isNaN(errors[2][1]));
    }
  }
}
