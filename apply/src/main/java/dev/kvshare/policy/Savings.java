package dev.kvshare.policy;

/**
 * What a policy saves.
 *
 * @param keyValueLayers layers that keep a KV cache
 * @param keyValueFraction {@code keyValueLayers} as a fraction of all layers, three decimals
 * @param keyValueBytesPerToken bytes of one token's keys and values in all kept layers with
 *     two-byte elements; 0 where the head sizes are not known
 */
public record Savings(int keyValueLayers, double keyValueFraction, long keyValueBytesPerToken) {
  private static final int BYTES_PER_ELEMENT = 2;

  /** Returns the savings of {@code map} on {@code model}. */
  public static Savings of(ModelIdentity model, SharingMap map) {
    int owned = map.ownedLayers();
    long bytesPerLayer =
        model.keyValueHeads() == null || model.headSize() == null
            ? 0
            : 2L * model.keyValueHeads() * model.headSize() * BYTES_PER_ELEMENT;
    return new Savings(owned, fraction(map), owned * bytesPerLayer);
  }

  private static double fraction(SharingMap map) {
    return Math.round(1000.0 * map.ownedLayers() / map.layers()) / 1000.0;
  }
}
