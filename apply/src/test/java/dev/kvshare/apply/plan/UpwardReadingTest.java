package dev.kvshare.apply.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.plan.UpwardReading.Group;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Groups against the iteration plans that the LCKV code made. */
class UpwardReadingTest {
  private static final Path RECORDED =
      Path.of(
          System.getProperty("kvshare.root"),
          "apply/src/test/resources/goldens/reference/lckv.json");

  @Test
  void groupsAreThoseOfTheAuthorsCode() throws IOException {
    for (JsonNode config : new ObjectMapper().readTree(RECORDED.toFile()).get("configs")) {
      SharingMap map = LayerTypes.parse(config.get("layer_types").asText()).map();
      int passes = config.get("forward_passes").asInt() + config.get("backward_passes").asInt();

      List<List<Integer>> steps = new ArrayList<>();
      for (Group group : UpwardReading.groups(map)) {
        List<Integer> layers = new ArrayList<>();
        for (int layer = group.from(); layer < group.to(); layer++) {
          layers.add(layer);
        }
        for (int pass = 0; pass < (group.iterated() ? passes : 1); pass++) {
          steps.add(layers);
        }
      }

      List<List<Integer>> recorded = new ArrayList<>();
      for (JsonNode step : config.get("iteration_plan")) {
        List<Integer> layers = new ArrayList<>();
        step.get("layers").forEach(layer -> layers.add(layer.asInt()));
        recorded.add(layers);
      }
      assertEquals(recorded, steps, config.get("name").asText());
    }
  }

  @Test
  void overlappingUpwardReadingsMakeOneGroup() {
    assertEquals(
        List.of(new Group(0, 1, false), new Group(1, 6, true), new Group(6, 7, false)),
        UpwardReading.groups(SharingMap.of(0, 3, 5, 3, 5, 5, 6)));
    assertEquals(
        List.of(new Group(0, 3, true)), UpwardReading.groups(SharingMap.withChains(1, 2, 0)));
  }

  @Test
  void mapsWithoutUpwardReadingsAreOneGroup() {
    assertEquals(List.of(new Group(0, 4, false)), UpwardReading.groups(SharingMap.of(0, 0, 2, 2)));
  }
}
