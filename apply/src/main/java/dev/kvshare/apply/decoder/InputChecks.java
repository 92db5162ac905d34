package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.PolicyException;

/**
 * What plans and tokens must be to run through a model: native code would not say what is wrong.
 */
final class InputChecks {
  private final ModelSpec spec;

  InputChecks(ModelSpec spec) {
    this.spec = spec;
  }

  /** Prompts that fit an empty cache, of tokens that the model knows. */
  void prompts(PromptBatch prompts, DecodingCache cache, int chunkTokens) {
    if (cache.length() != 0 || cache.batch() != prompts.size() || chunkTokens < 1) {
      throw new IllegalArgumentException(
          "prefill of %d prompts in chunks of %d needs an empty cache of that batch, but has one of batch %d with %d positions."
              .formatted(prompts.size(), chunkTokens, cache.batch(), cache.length()));
    }
    positions(prompts.longest(), 0);
    int last = spec.vocabularySize() - 1;
    for (int row = 0; row < prompts.size(); row++) {
      int[] ids = prompts.rows().get(row);
      for (int position = 0; position < ids.length; position++) {
        if (ids[position] < 0 || ids[position] > last) {
          throw new IllegalArgumentException(
              "prompt %d has token id %d at position %d; ids of this %s model are 0 to %d. Use its own tokenizer."
                  .formatted(row, ids[position], position, spec.modelType(), last));
        }
      }
    }
  }

  /** Prompts of the unshared model, and an empty cache that keeps a part of them. */
  void reduction(KvCache unshared, DecodingCache cache) {
    boolean exact =
        cache instanceof CompressedCache compressed
            ? compressed.isExact()
            : ((KvCache) cache).plan().prefill() == Plan.Prefill.EXACT;
    boolean prompts =
        unshared.length() > 0
            && unshared.length() == unshared.promptTokens()
            && unshared.isOf(spec.plan());
    if (!exact || !prompts || cache.length() != 0 || cache.batch() != unshared.batch()) {
      throw new IllegalArgumentException(
          "an empty cache of %d rows with an exact prefill takes over prompts that the unshared model has read and nothing behind them; this one has %d rows, %d positions and %s prefill, and the other %d rows with %d of %d positions read as prompts under %s."
              .formatted(
                  unshared.batch(),
                  cache.batch(),
                  cache.length(),
                  exact ? "an exact" : "another",
                  unshared.batch(),
                  unshared.promptTokens(),
                  unshared.length(),
                  unshared.plan()));
    }
  }

  /** As many rows as the cache has. */
  void batch(NDArray rows, DecodingCache cache) {
    if (rows.getShape().get(0) != cache.batch()) {
      throw new IllegalArgumentException(
          "%d rows do not fit a cache of batch %d."
              .formatted(rows.getShape().get(0), cache.batch()));
    }
  }

  /**
   * Positions of which learned ones are a table with an end. Padding counts as none, and a longer
   * row of a batch may have ended: only where the shortest row is beyond the end no row is left.
   *
   * @param end columns of the cache
   * @param padding columns of padding before the shortest row
   */
  void positions(int end, int padding) {
    int position = end - padding;
    if (spec.learnedPositions() > 0 && position > spec.learnedPositions()) {
      throw new IllegalArgumentException(
          "position %d is beyond the %d learned positions of this %s model. Shorten the text."
              .formatted(position, spec.learnedPositions(), spec.modelType()));
    }
  }

  /**
   * Refuses a map of another number of layers, between unlike layers, from layers without key and
   * value weights, with sources above their readers and nothing said about how to read them, and an
   * exact prefill where it means nothing.
   */
  static void plan(ModelSpec spec, Plan plan) {
    SharingMap map = plan.map();
    if (map.layers() != spec.layers()) {
      throw new PolicyException.Mismatch(
          "the sharing map has %d layers, but the %s model has %d. Calibrate this model, or use the one that the map was made for."
              .formatted(map.layers(), spec.modelType(), spec.layers()));
    }
    if (plan.prefill() == Plan.Prefill.EXACT) {
      if (map.hasUpwardSources() || map.hasChains() || plan.hidesOwnToken()) {
        throw new PolicyException.Unsupported(
            "an exact prefill ('prefill': 'exact' in a policy) is for layers that read from below: %s. Set 'prefill' to 'plan' (--prefill plan)."
                .formatted(plan));
      }
      if (!spec.isTrainedUnshared()) {
        throw new PolicyException.Unsupported(
            "an exact prefill ('prefill': 'exact' in a policy) needs keys and values of every layer, but this %s checkpoint was trained to share: %s. Set 'prefill' to 'plan' (--prefill plan)."
                .formatted(spec.modelType(), spec.plan()));
      }
    }
    for (int layer = 0; layer < map.layers(); layer++) {
      int source = map.source(layer);
      if (source > layer && plan.upward() == null) {
        throw new PolicyException.Unsupported(
            "layer %d is to read the keys and values of layer %d above it, but nothing says how: by a number of passes over a prompt or token by token ('upper' in a policy)."
                .formatted(layer, source));
      }
      if (!spec.blocks().get(source).makesKeysAndValues()) {
        throw new PolicyException.Mismatch(
            "layer %d is to read the keys and values of layer %d, but the checkpoint has no key and value weights there: it was trained to share. Run it with its own map, without --policy."
                .formatted(layer, source));
      }
      AttentionSpec reader = spec.blocks().get(layer).attention();
      AttentionSpec owner = spec.blocks().get(source).attention();
      if (!reader.sameCacheShape(owner)) {
        throw new PolicyException.Mismatch(
            "layer %d (%d key/value heads of size %d) cannot read the keys and values of layer %d (%d of size %d)."
                .formatted(
                    layer,
                    reader.keyValueHeads(),
                    reader.headSize(),
                    source,
                    owner.keyValueHeads(),
                    owner.headSize()));
      }
    }
  }
}
