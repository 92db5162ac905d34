package dev.kvshare.apply.policy;

import dev.kvshare.apply.plan.Plan;

/**
 * What a policy saves of long texts, as far as the policy alone tells: a model whose keys change
 * with the length of the text keeps all of them, whatever the windows are.
 *
 * @param keyValueLayers layers that keep the keys and values of the whole text; one that the
 *     windows of the policy restrict keeps so many tokens and no more
 * @param keyValueFraction {@code keyValueLayers} as a fraction of all layers, three decimals
 * @param keyValueBytesPerToken bytes of keys and values that one more token takes once the windows
 *     are full, with two-byte elements; 0 where the head sizes are not known
 */
public record Savings(int keyValueLayers, double keyValueFraction, long keyValueBytesPerToken) {
  private static final int BYTES_PER_ELEMENT = 2;

  /** Returns the savings of {@code plan} on {@code model}. */
  public static Savings of(ModelIdentity model, Plan plan) {
    int kept = plan.wholeTextLayers();
    int layers = plan.map().layers();
    long bytesPerLayer =
        model.keyValueHeads() == null || model.headSize() == null
            ? 0
            : 2L * model.keyValueHeads() * model.headSize() * BYTES_PER_ELEMENT;
    return new Savings(kept, Math.round(1000.0 * kept / layers) / 1000.0, kept * bytesPerLayer);
  }

  /** Returns those of {@code model} without a policy: nothing is saved. */
  public static Savings unshared(ModelIdentity model) {
    return of(model, Plan.identity(model.layers()));
  }
}
