package dev.kvshare.apply.plan.schemes;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import java.util.List;
import org.junit.jupiter.api.Test;

class SchemeSettingsTest {

  @Test
  void aSchemeHasTheWindowOfItsPaperUnlessOneIsGiven() {
    assertEquals(1024, ofScheme("yoco", null).plan(8, 0, false).windows().last());
    assertEquals(1025, ofScheme("yoco", null).plan(8, 1, false).windows().last());
    assertEquals(7, ofScheme("yoco", 7).plan(8, 0, false).windows().last());
  }

  @Test
  void layerTypesAreForAsManyLayersAsTheModelHas() {
    SchemeSettings settings = ofTypes("0s_1_1");
    Plan plan = settings.plan(3, 0, false);
    assertEquals(List.of(0), plan.windowedLayers());
    assertEquals(LayerTypes.DEFAULT_SLIDING_WINDOW, plan.windows().last());
    String message =
        assertThrows(IllegalArgumentException.class, () -> settings.plan(4, 0, false)).getMessage();
    assertTrue(message.endsWith("are for 3 layers, but the model has 4"), message);
  }

  private static SchemeSettings ofScheme(String name, Integer window) {
    return new SchemeSettings(name, null, null, null, window, UpwardReading.LCKV_DEFAULT);
  }

  private static SchemeSettings ofTypes(String types) {
    return new SchemeSettings(null, types, null, null, null, UpwardReading.LCKV_DEFAULT);
  }
}
