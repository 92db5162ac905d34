package dev.kvshare.apply.decoder;

import ai.djl.pytorch.engine.PtNDArray;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.plan.UpwardReading.Group;

/**
 * Runs layers some of which read from above: by passes over all new tokens (Layer-Condensed KV
 * Cache, arXiv 2405.10637, section 2.2, and {@code _modeling_with_plan} of its code), or one token
 * after another ({@code _modeling_sequential}). Without such layers it is one call. Letters: B
 * batch, T tokens, E hidden size.
 *
 * <p>A pass writes keys and values in place, so that a layer below its source finds there what the
 * pass before left, and one above it those of this pass. Before the last pass nothing above the
 * group's highest source is needed, and of that source only its keys and values.
 */
final class UpwardPasses {
  private final ScriptCalls calls;

  UpwardPasses(ScriptCalls calls) {
    this.calls = calls;
  }

  /**
   * Positions of a prompt that are run at once.
   *
   * @param length positions of the prompt
   * @param wanted what is wanted where it makes no difference
   */
  int chunk(Plan plan, int length, int wanted) {
    if (plan.runsTokenByToken(length)) {
      return 1;
    }
    return plan.iterates() ? length : wanted;
  }

  /**
   * Layers {@code from} to {@code to - 1}, with iterated groups as a whole; only the highest layer
   * of one may be left out at the end, if the caller makes its keys and values.
   *
   * @param hidden [B, T, E]
   * @return [B, T, E]
   */
  PtNDArray layers(PtNDArray hidden, KvCache cache, int start, int from, int to) {
    Plan plan = cache.plan();
    int tokens = (int) hidden.getShape().get(1);
    if (tokens == 1 || from == to || !plan.map().hasUpwardSources()) {
      return calls.layers(hidden, cache, start, from, to);
    }
    checkGroups(plan.map(), from, to);
    return plan.runsTokenByToken(tokens)
        ? tokenByToken(hidden, cache, start, from, to)
        : groups(hidden, cache, start, from, to);
  }

  private static void checkGroups(SharingMap map, int from, int to) {
    for (Group group : UpwardReading.groups(map)) {
      boolean cutBelow = group.from() < from && from < group.to();
      boolean cutAbove = group.from() < to && to < group.to() - 1;
      if (group.iterated() && (cutBelow || cutAbove)) {
        throw new IllegalArgumentException(
            "layers %d to %d cannot be run alone: layers %d to %d read from each other and are run together."
                .formatted(from, to - 1, group.from(), group.to() - 1));
      }
    }
  }

  private PtNDArray tokenByToken(PtNDArray hidden, KvCache cache, int start, int from, int to) {
    int tokens = (int) hidden.getShape().get(1);
    PtNDArray result = calls.zerosLike(hidden);
    for (int token = 0; token < tokens; token++) {
      try (PtNDArray one = (PtNDArray) hidden.get(":, " + token + ":" + (token + 1));
          PtNDArray run = calls.layers(one, cache, start + token, from, to)) {
        calls.put(result, run, token);
      }
    }
    return result;
  }

  private PtNDArray groups(PtNDArray hidden, KvCache cache, int start, int from, int to) {
    PtNDArray current = null;
    for (Group group : UpwardReading.groups(cache.map())) {
      int low = Math.max(from, group.from());
      int high = Math.min(to, group.to());
      if (low < high) {
        try (PtNDArray before = current) {
          PtNDArray input = before == null ? hidden : before;
          current =
              group.iterated()
                  ? passes(input, cache, start, group, high)
                  : calls.layers(input, cache, start, low, high);
        }
      }
    }
    return current;
  }

  /**
   * One group.
   *
   * @param high where its last pass ends: with the group or below its highest layer
   */
  private PtNDArray passes(PtNDArray hidden, KvCache cache, int start, Group group, int high) {
    UpwardReading.Parallel reading = (UpwardReading.Parallel) cache.plan().upward();
    int top = group.to() - 1;
    clearSources(cache, start, (int) hidden.getShape().get(1), group);
    PtNDArray below = calls.layers(hidden, cache, start, group.from(), top);
    for (int pass = 2; pass <= reading.passes(); pass++) {
      try (PtNDArray before = below) {
        calls.fill(before, cache, start, top).close();
        below = calls.layers(hidden, cache, start, group.from(), top);
      }
    }
    if (high == top) {
      return below;
    }
    try (PtNDArray last = below) {
      return calls.layers(last, cache, start, top, high);
    }
  }

  private static void clearSources(KvCache cache, int start, int tokens, Group group) {
    for (int layer = group.from(); layer < group.to(); layer++) {
      if (cache.map().source(layer) > layer) {
        cache.clear(cache.map().source(layer), start, tokens);
      }
    }
  }
}
