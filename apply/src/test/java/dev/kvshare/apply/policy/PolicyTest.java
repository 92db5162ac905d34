package dev.kvshare.apply.policy;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.policy.Policy.Savings;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class PolicyTest {
  private static final String ONE = "sha256:" + "1".repeat(64);
  private static final String TWO = "sha256:" + "2".repeat(64);

  private static ModelIdentity model(int layers, String fingerprint) {
    return new ModelIdentity("llama", layers, 4, 2, 16, fingerprint);
  }

  private static Policy policy(ModelIdentity model) {
    return Policy.of(model, Plan.of(SharingMap.identity(model.layers()).withShared(2, 0)));
  }

  @Test
  void computesItsSavings() {
    Savings savings = policy(model(3, ONE)).savings();

    assertEquals(new Savings(2048, 0.667, 2 * 2 * 2 * 16 * 2), savings);
  }

  /** All maps of three layers without chains, each with windows on each set of layers. */
  @Test
  void savingsCountTheCachesThatTheirPlanDoesNotRestrict() {
    Set<Integer> found = new HashSet<>();
    for (int code = 0; code < 27 * 8; code++) {
      int[] source = {code % 3, code / 3 % 3, code / 9 % 3};
      int windows = code / 27;
      List<Integer> windowed =
          IntStream.range(0, 3).filter(layer -> (windows >> layer & 1) == 1).boxed().toList();
      if (!SharingMap.problems(source).isEmpty()) {
        continue;
      }
      SharingMap map = SharingMap.of(source);
      UpwardReading upward = map.hasUpwardSources() ? new UpwardReading.Sequential() : null;
      Plan plan = Plan.of(map).withWindows(Plan.Windows.of(windowed, 0, 4)).withUpward(upward);
      long kept = map.owners().stream().filter(owner -> !plan.restricts(owner)).count();

      assertEquals(kept, model(3, ONE).kvUse(plan).wholeTextLayers(), plan::toString);
      long tokens = kept * 2048 + (map.ownedLayers() - kept) * 4;
      assertEquals(
          tokens / (3.0 * 2048), Policy.of(model(3, ONE), plan).savings().kvFraction(), 0.0005);
      found.add((int) kept);
    }
    assertEquals(Set.of(0, 1, 2, 3), found);
  }

  @Test
  void saysAllOfAPlan() {
    SharingMap map = SharingMap.of(0, 2, 2);
    UpwardReading upward = new UpwardReading.Sequential();
    Plan plan = Plan.of(map).withWindows(new Plan.Windows(List.of(2, 0), 2, 4)).withUpward(upward);
    Policy policy = Policy.of(model(3, ONE), plan);

    assertEquals(plan, policy.plan());
    assertEquals(List.of(0, 2), policy.plan().windowedLayers());
    assertEquals(policy(model(3, ONE)), Policy.of(model(3, ONE), Plan.of(SharingMap.of(0, 1, 0))));
  }

  /** A window without layers is none; that the own token is hidden cannot be left out. */
  @Test
  void saysNothingElseOfAPlan() {
    SharingMap map = SharingMap.identity(3);
    Plan unused = Plan.of(map).withWindows(Plan.Windows.of(List.of(), 0, 4));
    assertNull(Policy.of(model(3, ONE), unused).plan().windows());

    Plan hiding = new Plan(map, null, Plan.Prefill.PLAN, null, true);
    IllegalArgumentException refused =
        assertThrows(IllegalArgumentException.class, () -> Policy.of(model(3, ONE), hiding));
    assertTrue(refused.getMessage().contains("own token"), refused.getMessage());
  }

  @Test
  void acceptsItsOwnModelAndPartlyKnownOnes() {
    assertDoesNotThrow(() -> policy(model(3, ONE)).check(model(3, ONE)));
    assertDoesNotThrow(() -> policy(model(3, null)).check(model(3, ONE)));
    assertDoesNotThrow(() -> policy(ModelIdentity.ofLayers(3)).check(model(3, TWO)));
  }

  @Test
  void refusesAnotherModelNamingBothFingerprintsAndTheWayOut() {
    PolicyException.Mismatch error =
        assertThrows(
            PolicyException.Mismatch.class, () -> policy(model(3, ONE)).check(model(3, TWO)));

    assertTrue(
        error.getMessage().contains("fingerprint " + ONE + " against " + TWO), error.getMessage());
    assertTrue(error.getMessage().contains("--force"), error.getMessage());
    assertTrue(error.getMessage().contains("kvshare calibrate"), error.getMessage());
  }

  @Test
  void refusesAnotherShape() {
    ModelIdentity other = new ModelIdentity("qwen2", 4, 4, 1, 16, null);
    PolicyException.Mismatch error =
        assertThrows(PolicyException.Mismatch.class, () -> policy(model(3, ONE)).check(other));

    assertTrue(
        error
            .getMessage()
            .contains(
                "3 layers against 4, model_type llama against qwen2, num_key_value_heads 2 against 1"),
        error.getMessage());
    assertFalse(error.getMessage().contains("--force"), error.getMessage());
  }

  @Test
  void refusesAMapOfAnotherLength() {
    assertThrows(IllegalArgumentException.class, () -> Policy.of(model(3, ONE), Plan.identity(4)));
  }
}
