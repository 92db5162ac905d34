package dev.kvshare.apply.plan.schemes;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.schemes.Configuration.Partition;
import dev.kvshare.apply.plan.schemes.Configuration.Position;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Schemes against the layer types in the LCKV repository's README and the recorded goldens. */
class SchemeTest {

  @ParameterizedTest
  @CsvSource(
      nullValues = "-",
      value = {
        // recorded configurations, 8 layers
        "cla-2, -, -, 0_0_2_2_4_4_6_6",
        "lasagna-bottom, 4, -, 0_0_2_2_4_4_6_6",
        "pizza-bottom, 4, -, 0_1_2_3_3_3_3_3",
        "yoco, 4, -, 0s_1s_2s_3_3_3_3_3",
        "pizza-middle, 4, -, 0_1_2_5_5_5_5_5",
        "sandwich-bottom, 3, -, 0_1_1_1_1_1_1_7",
        "lasagna-top, 4, -, 1_1_3_3_5_5_7_7",
        "lckv, -, -, 0_6_6_6_6_6_6_7",
        "sandwich-top, 3, -, 0_6_6_6_6_6_6_7",
        "sandwich-top, -, 2, 0_6_6_6_6_6_6_7",
        "LCKV, -, 4, 0_1_5_5_5_5_6_7",
        // the others by the same rules
        "sandwich-middle, 3, 2, 0_3_3_3_3_3_3_7",
        "sandwich-bottom, 4, -, 0_1_2_2_2_2_2_7",
        "pizza-top, 1, -, 7_7_7_7_7_7_7_7",
        "pizza-top, 8, -, 0_1_2_3_4_5_6_7",
        "lasagna-middle, 2, -, 1_1_1_1_5_5_5_5",
        "lasagna-top, 3, 2, 0_1_7_7_7_7_7_7",
        "lasagna-bottom, 4, 2, 0_1_2_2_2_5_5_5",
        "sandwich-top, 4, 2, 0_3_3_3_6_6_6_7",
        "lasagna-bottom, 5, -, 0_1_2_2_4_4_6_6",
        "yoco, -, -, 0s_1s_2s_3s_4_4_4_4"
      })
  void layersOfEight(String name, Integer keyValueLayers, Integer warmup, String expected) {
    assertEquals(expected.trim(), types(name, keyValueLayers, warmup, 8));
  }

  @Test
  void configurationsOfTheAuthorsReadme() {
    assertEquals(
        "0_10_10_10_10_10_10_10_10_10_10_10_10_10_10_10_10_10_10_10_10_21",
        types("sandwich-middle", 3, null, 22));
    assertEquals(
        "0_20_20_20_20_20_20_20_20_20_20_20_20_20_20_20_20_20_20_20_20_21",
        types("lckv", null, null, 22));
    assertEquals(
        "0_0_2_2_4_4_6_6_8_8_10_10_12_12_14_14_16_16_18_18_20_20", types("cla-2", null, null, 22));
    assertEquals(
        "0_1_1_1_4_4_4_7_7_7_10_10_10_13_13_13_16_16_16_19_19_19", types("cla-3", null, null, 22));
    assertEquals(
        "0s_1s_2s_3s_4s_5s_6s_7s_8s_9s_10s_11_11_11_11_11_11_11_11_11_11_11",
        types("yoco", null, null, 22));
    assertEquals(
        "0_1s_1s_3s_3s_3s_0_7s_7s_9s_9s_9s_12_13s_13s_15s_15s_15s_12_19s_19s_19s",
        types("mixattention", null, null, 22));
    assertEquals(types("sandwich-top", 4, null, 22), types("lckv", 4, null, 22));
  }

  @Test
  void everyConfigurationKeepsAsManyCachesAsAskedFor() {
    for (Partition partition : Partition.values()) {
      for (Position position : Position.values()) {
        for (int layers = 1; layers <= 14; layers++) {
          for (int kept = 1; kept <= layers; kept++) {
            for (int warmup = 0; warmup < kept; warmup++) {
              Scheme scheme = new Configuration(partition, position, kept, warmup);
              SharingMap map = scheme.layerTypes(layers).map();
              assertEquals(kept, map.ownedLayers(), scheme + " of " + layers);
              assertEquals(layers, map.layers());
            }
          }
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource(
      nullValues = "-",
      value = {
        "burger, -, -, there is no scheme",
        "cla, -, -, there is no scheme",
        "cla-1, -, -, shares nothing",
        "cla-2, 3, -, says itself",
        "yoco, 3, 2, says itself",
        "mixattention, 4, -, says itself",
        "pizza-top, -, -, needs a number of KV layers",
        "lasagna-top, -, 2, needs a number of KV layers",
        "sandwich-top, 2, 2, 3 KV layers or more",
        "pizza-top, 9, -, but this one has 8"
      })
  void otherNamesAndNumbersAreRefused(
      String name, Integer keyValueLayers, Integer warmup, String reason) {
    IllegalArgumentException refused =
        assertThrows(IllegalArgumentException.class, () -> types(name, keyValueLayers, warmup, 8));
    assertTrue(refused.getMessage().contains(reason), refused.getMessage());
  }

  private static String types(String name, Integer keyValueLayers, Integer warmup, int layers) {
    return Scheme.of(name, keyValueLayers, warmup).layerTypes(layers).toString();
  }
}
