package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A plan that was chosen by hand becomes a policy as a whole. */
class SchemeCalibrationTest {

  @Test
  void thePolicySaysThePlanThatWasMeasured() {
    try (TinyModel model = TinyModel.open()) {
      Policy windows = calibrate(model, 0);
      Policy sinks = calibrate(model, 3);

      assertEquals(plan(3), sinks.plan());
      assertEquals(plan(0), windows.plan());
      assertEquals(6, sinks.model().kvUse(sinks.plan()).wholeTextLayers());
      assertEquals("by-hand", sinks.calibration().method());
      assertNotEquals(windows.calibration().similarity(), sinks.calibration().similarity());
    }
  }

  private static Policy calibrate(TinyModel model, int sinks) {
    return new SchemeCalibration(model.decoder(), ModelIdentity.ofLayers(8))
        .calibrate(
            plan(sinks),
            "by-hand",
            KvSharerGolden.dataset(),
            TinyModel.samples(),
            CalibrationListener.NONE);
  }

  private static Plan plan(int sinks) {
    SharingMap map = SharingMap.identity(8).withShared(5, 4);
    return Plan.of(map).withWindows(Plan.Windows.of(List.of(2, 4), sinks, 4));
  }
}
