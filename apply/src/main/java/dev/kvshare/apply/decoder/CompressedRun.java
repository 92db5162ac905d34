package dev.kvshare.apply.decoder;

import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.policy.PolicyException;
import java.util.List;

/** Runs tokens through a model whose cache is compressed: the counterpart of {@link PlainRun}. */
final class CompressedRun {
  /** Columns that rotary tables have beyond what is kept, before keys are turned back. */
  private static final int TABLE = 4096;

  private final KvCache.Storage storage;
  private final InputChecks checks;
  private final ScriptCalls calls;
  private final RotaryTables rotary;

  CompressedRun(
      KvCache.Storage storage, InputChecks checks, ScriptCalls calls, RotaryTables rotary) {
    this.storage = storage;
    this.checks = checks;
    this.calls = calls;
    this.rotary = rotary;
  }

  /** Prompts into an empty cache; the last token of each row [B, 1, E] belongs to the decoder. */
  PtNDArray prefill(PromptBatch prompts, CompressedCache cache, int chunkTokens) {
    if (cache.isExact()) {
      return exact(prompts, cache, chunkTokens);
    }
    int longest = prompts.longest();
    int layers = storage.spec().layers();
    cache.begin(longest, prompts.firstPositions());
    // Layers that keep nothing for others need to run where their attention decides what is kept.
    boolean all = cache.plan().observes();
    int top = all ? layers : cache.map().highestOwner();
    try (PtNDManager scratch = (PtNDManager) storage.parent().newSubManager()) {
      PtNDArray last = null;
      for (int start = 0; start < longest; start += chunkTokens) {
        int tokens = Math.min(chunkTokens, longest - start);
        long[] column = prompts.column(start, start + tokens);
        PtNDArray ids = (PtNDArray) scratch.create(column, new Shape(prompts.size(), tokens));
        prepare(cache, tokens, longest);
        PtNDArray embedded = calls.embed(ids, cache.first(), start);
        PtNDArray hidden = calls.compressedLayers(embedded, cache, 0, top);
        last = all ? (PtNDArray) hidden.get(":, -1:") : calls.fill(hidden, cache, top);
        if (start + tokens == longest) {
          last = calls.compressedLast(last, cache, top, layers, tokens);
        }
        embedded.close();
        hidden.close();
        cache.advance(tokens);
      }
      cache.endPrompt();
      last.attach(storage.parent());
      return last;
    }
  }

  /** The same as the unshared model computes it, which has no positions without end. */
  private PtNDArray exact(PromptBatch prompts, CompressedCache cache, int chunkTokens) {
    int longest = prompts.longest();
    int most = storage.spec().maxPositions();
    if (cache.policy().endless() && longest > most) {
      throw new PolicyException.Unsupported(
          "an exact prefill computes all %d tokens of the prompt as the unshared %s model does, which was made for %d positions. Shorten the prompt, or set 'prefill' to 'plan' (--prefill plan), with which %s drops tokens on the way."
              .formatted(longest, storage.spec().modelType(), most, cache.policy().name()));
    }
    cache.beginExact(longest, prompts.firstPositions());
    rotary.prepare(0, Math.max(longest, cache.plan().reach()), longest);
    PtNDArray last =
        new ExactPrefill(storage, calls, prompts, cache.first(), chunkTokens).run(cache);
    cache.endPrompt();
    return last;
  }

  /**
   * New tokens through all layers; the first call reads the prompt. Several at once see each other
   * before anything is dropped for them.
   *
   * @param ids int64 [B, T]
   * @return [B, T, E] behind the last layer, in the manager of {@code ids}
   */
  PtNDArray feed(PtNDArray ids, CompressedCache cache) {
    boolean prompt = cache.plan() == null;
    int tokens = (int) ids.getShape().get(1);
    int start = cache.length();
    if (prompt) {
      cache.begin(tokens, new long[0]);
    } else if (rotary.switches(start, start + tokens)) {
      throw new PolicyException.Unsupported(
          "the text outgrows the context after which this %s model turns all keys anew, which %s has not kept. Shorten the text to %d tokens, or use no cache policy."
              .formatted(storage.spec().modelType(), cache.policy().name(), start));
    }
    prepare(cache, tokens, start + tokens);
    try (PtNDArray embedded = calls.embed(ids, cache.first(), start)) {
      PtNDArray hidden = calls.compressedLayers(embedded, cache, 0, storage.spec().layers());
      cache.advance(tokens);
      if (prompt) {
        cache.endPrompt();
      }
      return hidden;
    }
  }

  private void prepare(CompressedCache cache, int tokens, int length) {
    int end = cache.length() + tokens;
    int padding = cache.padding();
    checks.positions(end, padding);
    cache.reserve(tokens);
    int reach = cache.plan().reach();
    if (reach == 0) {
      rotary.prepare(0, end, length);
      return;
    }
    rotary.prepare(0, Math.max(end - cache.origin(), reach), length);
    if (end - cache.origin() > TABLE + reach + padding + tokens) {
      turnBack(cache, cache.length() - padding - cache.origin());
    }
  }

  /**
   * Begins to count columns anew, so that tables and angles stay small in a text without end: only
   * the differences of rotations count. Sinks keep theirs, see {@code reach} in {@code
   * compressed.py}.
   */
  private void turnBack(CompressedCache cache, int columns) {
    for (int owner : cache.map().owners()) {
      RotarySpec kind = storage.spec().blocks().get(owner).attention().rotary();
      if (kind != null) {
        LayerStore store = cache.store(owner);
        List<Object> turned = List.of(store.state(), cache.rule(owner, false), store.filled());
        storage.script().run(null, "turn_back", turned, columns, rotary.tables(kind));
      }
    }
    cache.setOrigin(cache.origin() + columns);
  }
}
