package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.plan.UpwardReading;
import dev.kvshare.apply.plan.UpwardReading.Group;

/**
 * Runs tokens through a model whose cache keeps everything; its counterpart for a compressed cache
 * is {@link CompressedRun}. What the methods do, {@link Decoder} says. Letters: B batch, T tokens,
 * E hidden size, V vocabulary.
 */
final class PlainRun {
  private static final int RESTART_CHUNK = 512;

  private final KvCache.Storage storage;
  private final ModelSpec spec;
  private final PtNDManager manager;
  private final InputChecks checks;
  private final ScriptCalls calls;
  private final RotaryTables rotary;
  private final boolean longRope;

  PlainRun(KvCache.Storage storage, InputChecks checks, ScriptCalls calls, RotaryTables rotary) {
    this.storage = storage;
    this.spec = storage.spec();
    this.manager = storage.parent();
    this.checks = checks;
    this.calls = calls;
    this.rotary = rotary;
    this.longRope = rotary.hasLongRope();
  }

  /** ids int64 [B, T] to [B, T, E]; see {@link Decoder#embed}. */
  PtNDArray embed(PtNDArray ids, KvCache cache) {
    checks.positions(cache.length() + (int) ids.getShape().get(1), cache.padding());
    return calls.embed(ids, cache.first(), cache.length());
  }

  /** [B, T, E] to [B, T, E]; see {@link Decoder#layers}. */
  PtNDArray layers(PtNDArray hidden, KvCache cache, int from, int to) {
    if (from < cache.fromLayer() || from > to || to > spec.layers()) {
      throw new IllegalArgumentException(
          "layers %d to %d of %d cannot be run with a cache that begins at layer %d."
              .formatted(from, to, spec.layers(), cache.fromLayer()));
    }
    checks.batch(hidden, cache);
    int end = cache.length() + (int) hidden.getShape().get(1);
    prepare(cache, cache.length(), end, end);
    return layers(hidden, cache, cache.length(), from, to);
  }

  /** ids int64 [B, T] to logits [B, T, V]; see {@link Decoder#forward}. */
  PtNDArray forward(PtNDArray ids, KvCache cache) {
    int tokens = (int) ids.getShape().get(1);
    if (!cache.map().hasUpwardSources() || tokens == 1) {
      return whole("forward", ids, cache, tokens);
    }
    try (PtNDArray hidden = hidden(ids, cache)) {
      return calls.head(hidden);
    }
  }

  /** ids int64 [B, T] to [B, T, E]; see {@link Decoder#hidden}. */
  PtNDArray hidden(PtNDArray ids, KvCache cache) {
    checks.batch(ids, cache);
    if (longRope) {
      cache.history().append(ids, cache.length());
    }
    try (PtNDArray embedded = embed(ids, cache)) {
      PtNDArray hidden = layers(embedded, cache, 0, spec.layers());
      cache.advance((int) ids.getShape().get(1));
      return hidden;
    }
  }

  /** ids int64 [B] to logits [B, V]; see {@link Decoder#decode}. */
  PtNDArray decode(PtNDArray ids, KvCache cache) {
    if (longRope && rotary.switches(cache.length(), cache.length() + 1)) {
      return restart(ids, cache);
    }
    return whole("decode", ids, cache, 1);
  }

  /** The last position [B, 1, E], which belongs to the decoder; see {@link Decoder#prompt}. */
  PtNDArray prefill(PromptBatch prompts, KvCache cache, int chunkTokens) {
    if (longRope) {
      cache.history().set(prompts);
    }
    int longest = prompts.longest();
    cache.setPromptTokens(longest);
    return prefill(prompts, cache, chunkTokens, longest);
  }

  /**
   * @param length tokens of the whole text at hand, on which the rotary embedding may depend
   */
  private PtNDArray prefill(PromptBatch prompts, KvCache cache, int chunkTokens, int length) {
    int longest = prompts.longest();
    int highest = cache.map().highestOwner();
    cache.setFirst(prompts.firstPositions());
    if (cache.plan().prefill() == Prefill.EXACT) {
      prepare(cache, 0, longest, length);
      PtNDArray last =
          new ExactPrefill(storage, calls, prompts, cache.first(), chunkTokens).run(cache);
      cache.advance(longest);
      return last;
    }
    try (PtNDManager scratch = (PtNDManager) manager.newSubManager()) {
      PtNDArray last = null;
      int chunk = chunk(cache.plan(), longest, chunkTokens);
      for (int start = 0; start < longest; start += chunk) {
        int end = Math.min(longest, start + chunk);
        prepare(cache, start, end, length);
        PtNDArray ids =
            (PtNDArray)
                scratch.create(prompts.column(start, end), new Shape(prompts.size(), end - start));
        PtNDArray hidden = calls.embed(ids, cache.first(), start);
        PtNDArray lower = layers(hidden, cache, start, 0, highest);
        hidden.close();
        if (last != null) {
          last.close();
        }
        last = calls.fill(lower, cache, start, highest);
        lower.close();
        cache.advance(end - start);
      }
      PtNDArray top = calls.layers(last, cache, longest - 1, highest, spec.layers());
      top.attach(manager);
      return top;
    }
  }

  private PtNDArray whole(String method, PtNDArray ids, KvCache cache, int tokens) {
    if (cache.fromLayer() > 0) {
      throw new IllegalArgumentException(
          "a cache forked at layer %d runs no layer below it.".formatted(cache.fromLayer()));
    }
    checks.batch(ids, cache);
    int start = cache.length();
    if (longRope) {
      cache.history().append(ids, start);
    }
    prepare(cache, start, start + tokens, start + tokens);
    PtNDArray logits = calls.whole(method, ids, cache, start);
    cache.advance(tokens);
    return logits;
  }

  /**
   * The keys of another regime of the rotary embedding are of no use: computes all of them anew. An
   * exact prefill is for the prompt alone, and what follows it is computed under the plan again.
   */
  private PtNDArray restart(NDArray ids, KvCache cache) {
    cache.history().append(ids, cache.length());
    PromptBatch text = cache.history().prompts();
    int length = text.longest();
    int begun = cache.plan().prefill() == Prefill.EXACT ? cache.promptTokens() : length;
    cache.truncate(0);
    cache.setPromptTokens(begun);
    try (PtNDManager scratch = (PtNDManager) manager.newSubManager()) {
      PtNDArray last = null;
      if (begun > 0) {
        last = prefill(text.withoutLast(length - begun), cache, RESTART_CHUNK, length);
        last.attach(scratch);
      }
      for (int start = begun; start < length; start += RESTART_CHUNK) {
        int end = Math.min(length, start + RESTART_CHUNK);
        Shape shape = new Shape(text.size(), end - start);
        prepare(cache, start, end, length);
        PtNDArray some = (PtNDArray) scratch.create(text.column(start, end), shape);
        PtNDArray embedded = calls.embed(some, cache.first(), start);
        last = (PtNDArray) layers(embedded, cache, start, 0, spec.layers()).get(":, -1:");
        cache.advance(end - start);
      }
      PtNDArray logits = calls.head(last).reshape(new Shape(text.size(), spec.vocabularySize()));
      logits.attach(ids.getManager());
      return logits;
    }
  }

  private void prepare(KvCache cache, int start, int end, int length) {
    checks.positions(end, cache.padding());
    cache.reserve(end);
    rotary.prepare(cache.padding() > 0 ? 0 : start, end, length);
  }

  /** Positions of a prompt of {@code length} that are run at once, if possible those wanted. */
  private static int chunk(Plan plan, int length, int wanted) {
    if (plan.runsTokenByToken(length)) {
      return 1;
    }
    return plan.iterates() ? length : wanted;
  }

  /**
   * Layers {@code from} to {@code to - 1}, some of which may read from above: by passes over all
   * new tokens (Layer-Condensed KV Cache, arXiv 2405.10637, section 2.2, and {@code
   * _modeling_with_plan} of its code), or one token after another ({@code _modeling_sequential}).
   * Without such layers it is one call.
   *
   * <p>A pass writes keys and values in place, so that a layer below its source finds there what
   * the pass before left, and one above it those of this pass. Before the last pass nothing above
   * the group's highest source is needed, and of that source only its keys and values. Iterated
   * groups are run as a whole; only the highest layer of one may be left out at the end, if the
   * caller makes its keys and values.
   *
   * @param hidden [B, T, E]
   * @return [B, T, E]
   */
  private PtNDArray layers(PtNDArray hidden, KvCache cache, int start, int from, int to) {
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

  /** One group; its last pass ends at {@code high}: with it, or below its highest layer. */
  private PtNDArray passes(PtNDArray hidden, KvCache cache, int start, Group group, int high) {
    UpwardReading.Parallel reading = (UpwardReading.Parallel) cache.plan().upward();
    int top = group.to() - 1;
    int tokens = (int) hidden.getShape().get(1);
    for (int layer = group.from(); layer < group.to(); layer++) {
      int source = cache.map().source(layer);
      if (source > layer) {
        cache.clear(source, start, tokens);
      }
    }
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
}
