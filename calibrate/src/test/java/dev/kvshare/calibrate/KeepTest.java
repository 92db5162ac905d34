package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.calibrate.capture.CalibrationException;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class KeepTest {
  private static final int LAYERS = 30;
  private static final long BYTES_PER_TOKEN = 30 * 768;

  @ParameterizedTest
  @CsvSource({
    "0.7, 9",
    "70%, 9",
    ".5, 15",
    "1, 0",
    "1.0, 0",
    "0.99, 1",
    "21 layers, 9",
    "21l, 9",
    "1 layer, 29",
    "30 LAYERS, 0",
    "16128B, 9",
    "16127B, 10",
    "15.75e, -1",
    "9KiB, 18",
    "9216 bytes, 18",
    "1MiB, 0"
  })
  void resolvesToTheFewestLayersThatKeepWithin(String text, int shared) {
    if (shared < 0) {
      assertThrows(CalibrationException.Usage.class, () -> Keep.parse(text));
    } else {
      assertEquals(shared, Keep.parse(text).layersToShare(LAYERS, BYTES_PER_TOKEN));
    }
  }

  /** Each windowed layer keeps a tenth. */
  @ParameterizedTest
  @CsvSource({
    "0.7, 10",
    "70%, 10",
    "0.1, 30",
    "0.09, -1",
    "1, 0",
    "0.97, 1",
    "21 layers, 9",
    "16128B, 10",
    "2304B, 30",
    "1MiB, 0"
  })
  void resolvesToTheFewestWindowedLayersThatKeepWithin(String text, int windowed) {
    OptionalInt found = Keep.parse(text).layersToWindow(LAYERS, BYTES_PER_TOKEN, 0.1);
    assertEquals(windowed, found.orElse(-1));
  }

  @Test
  void windowsThatSaveNothingMeetNoBudget() {
    assertTrue(Keep.parse("0.7").layersToWindow(LAYERS, BYTES_PER_TOKEN, 1).isEmpty());
    assertTrue(Keep.parse("21l").layersToWindow(LAYERS, BYTES_PER_TOKEN, 1).isEmpty());
    assertTrue(new Keep.SharedLayers(3).layersToWindow(LAYERS, BYTES_PER_TOKEN, 0.1).isEmpty());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "0",
        "0.0",
        "1.5",
        "21",
        "-1",
        "120%",
        "0 layers",
        "2.5 layers",
        "0B",
        "9GB",
        "layers",
        "99999999999999999999B",
        "9999999999 layers"
      })
  void refusesWhatIsNoBudget(String text) {
    String message =
        assertThrows(CalibrationException.Usage.class, () -> Keep.parse(text)).getMessage();
    assertTrue(message.startsWith("Not an amount to keep"), message);
    assertTrue(message.contains("21 layers") && message.contains("9216B"), message);
  }

  @Test
  void refusesWhatTheModelCannotMeet() {
    assertMessage("less than one layer needs (768)", "767B");
    assertMessage("keeps not even one layer", "0.03");
    assertMessage("more than the model has: it has 30", "31 layers");
    String message =
        assertThrows(
                CalibrationException.Usage.class,
                () -> new Keep.SharedLayers(30).layersToShare(LAYERS, BYTES_PER_TOKEN))
            .getMessage();
    assertTrue(message.contains("Cannot share 30 layers of a model with 30"), message);
  }

  private static void assertMessage(String part, String budget) {
    String message =
        assertThrows(
                CalibrationException.Usage.class,
                () -> Keep.parse(budget).layersToShare(LAYERS, BYTES_PER_TOKEN))
            .getMessage();
    assertTrue(message.contains(part), message);
  }
}
