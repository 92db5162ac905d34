package dev.kvshare.apply.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LayerTypesTest {

  @ParameterizedTest
  @ValueSource(
      strings = {
        "0",
        "0_6_6_6_6_6_6_7",
        "0s_1s_2s_3_3_3",
        "1_2s_0",
        "0_1s_1s_3s_3s_3s_0_7s_7s_9s_9s_9s_12_13s_13s_15s_15s_15s_12_19s_19s_19s"
      })
  void isReadAndWritten(String text) {
    LayerTypes types = LayerTypes.parse(text);

    assertEquals(text, types.toString());
    assertEquals(text, LayerTypes.of(types.plan(8, UpwardReading.LCKV_DEFAULT, false)).toString());
  }

  @Test
  void windowsAndChainsAreUnderstood() {
    LayerTypes types = LayerTypes.parse("1_2s_0");

    assertEquals(List.of(1), types.windowedLayers());
    assertEquals(List.of(0, 1, 2), types.map().owners());
    assertTrue(types.map().hasChains());
    assertFalse(types.map().isIdentity());
    assertEquals(5, types.plan(5, UpwardReading.LCKV_DEFAULT, false).window(1, 0));
    assertEquals(0, types.plan(5, UpwardReading.LCKV_DEFAULT, false).window(0, 0));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "invalid_input", "0_1t_2", "0__2", "0_1_", "-1_0", "0_99999999999"})
  void otherTextIsRefusedWithItsLayer(String text) {
    IllegalArgumentException refused =
        assertThrows(IllegalArgumentException.class, () -> LayerTypes.parse(text));
    assertTrue(refused.getMessage().contains("for layer"), refused.getMessage());
  }

  @Test
  void layersThatDoNotExistAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> LayerTypes.parse("1_2s_3"));
  }
}
