package dev.kvshare.eval.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import dev.kvshare.apply.plan.LayerTypes;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.eval.experiment.Experiment.Trial;
import java.util.List;
import org.junit.jupiter.api.Test;

class TrialsTest {

  @Test
  void hasTheNineConfigurationsAtEachReduction() {
    List<Trial> policies = Trials.schemes(ModelIdentity.ofLayers(12), List.of(3, 6), 64);

    assertEquals(18 + 5, policies.size());
    long distinct =
        policies.subList(0, 9).stream().map(trial -> trial.search().get().map()).distinct().count();
    assertEquals(9, distinct);
    assertEquals("3x pizza-bottom, 4 KV layers", policies.get(0).name());
    assertEquals("0_1_2_3_3_3_3_3_3_3_3_3", types(policies.get(0)));
    assertEquals("6x lasagna-top, 2 KV layers", policies.get(17).name());
    assertEquals("5_5_5_5_5_5_11_11_11_11_11_11", types(policies.get(17)));
    assertNotNull(policies.get(17).search().get().plan().upward());
  }

  @Test
  void hasTheSchemesWithNamesOfTheirOwn() {
    List<Trial> policies = Trials.schemes(ModelIdentity.ofLayers(12), List.of(), 64);

    assertEquals(
        List.of(
            "cla-2, 6 KV layers",
            "cla-3, 4 KV layers",
            "yoco, window 64, 7 KV layers",
            "mixattention, window 64, 5 KV layers",
            "lckv, 3 KV layers"),
        policies.stream().map(Trial::name).toList());
    assertEquals("0_1s_1s_3s_3s_3s_0_7s_7s_9s_9s_9s", types(policies.get(3)));
    assertEquals(64, policies.get(3).search().get().plan().windows().last());
    assertEquals("0_10_10_10_10_10_10_10_10_10_10_11", types(policies.get(4)));
  }

  private static String types(Trial trial) {
    return LayerTypes.of(trial.search().get().plan()).toString();
  }
}
