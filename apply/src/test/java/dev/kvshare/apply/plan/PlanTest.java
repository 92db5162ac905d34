package dev.kvshare.apply.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.kvshare.apply.plan.Plan.LayerAction;
import dev.kvshare.apply.plan.Plan.Windows;
import java.util.List;
import org.junit.jupiter.api.Test;

class PlanTest {
  private static final SharingMap MAP = SharingMap.of(0, 1, 1, 3);

  @Test
  void aLayerOwnsSharesOrHasAWindow() {
    Plan plan = Plan.of(MAP).withWindows(new Windows(List.of(3, 2), 4, 64));

    assertEquals(new LayerAction.Own(), plan.action(0));
    assertEquals(new LayerAction.Own(), plan.action(1));
    assertEquals(new LayerAction.Share(1), plan.action(2));
    assertEquals(new LayerAction.Window(4, 64), plan.action(3));
    assertEquals(2, plan.reducedLayers());
    assertEquals(List.of(2, 3), plan.windowedLayers());
  }

  @Test
  void oneMoreWindowedLayerSetsTheWindowOfAll() {
    Plan plan = Plan.of(MAP).withWindowed(3, 64, 4).withWindowed(0, 8, 2);

    assertEquals(new Windows(List.of(0, 3), 2, 8), plan.windows());
    assertEquals(0, plan.firstDifference(Plan.of(MAP).withWindowed(3, 8, 2)));
    assertEquals(3, Plan.of(MAP).withWindowed(3, 8, 2).firstDifference(Plan.of(MAP)));
  }

  /** What was measured under a plan is taken up by its text: see {@code MeasurementKey}. */
  @Test
  void plansThatDifferHaveDifferentTexts() {
    Plan upward = Plan.of(SharingMap.of(0, 3, 3, 3));
    List<Plan> plans =
        List.of(
            upward,
            upward.withUpward(new UpwardReading.Sequential()),
            upward.withUpward(new UpwardReading.Parallel(7, 2)),
            upward.withUpward(new UpwardReading.Parallel(9, 0)),
            upward.withPrefill(Plan.Prefill.EXACT),
            upward.withWindowed(3, 64, 4),
            upward.withWindowed(3, 4, 64),
            new Plan(upward.map(), null, Plan.Prefill.PLAN, null, true),
            Plan.of(MAP));

    assertEquals(plans.size(), plans.stream().map(Plan::toString).distinct().count());
    assertEquals("4 layers, 2 shared: 1<-3 2<-3, 7 + 2 passes", plans.get(2).toString());
  }

  @Test
  void windowsThatRestrictNothingAreNone() {
    assertNull(Windows.of(List.of(), 4, 64));
    for (int[] numbers : new int[][] {{-1, 64}, {4, 0}}) {
      assertThrows(
          IllegalArgumentException.class, () -> new Windows(List.of(1), numbers[0], numbers[1]));
    }
    assertThrows(IllegalArgumentException.class, () -> new Windows(List.of(), 4, 64));
    assertThrows(
        IllegalArgumentException.class,
        () -> Plan.of(MAP).withWindows(new Windows(List.of(4), 4, 64)));
  }
}
