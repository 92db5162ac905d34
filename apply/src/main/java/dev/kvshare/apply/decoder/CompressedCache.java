package dev.kvshare.apply.decoder;

import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.cache.KeepRule;
import dev.kvshare.apply.cache.KeepRule.EvictionTime;
import dev.kvshare.apply.decoder.script.ScriptNumbers;
import dev.kvshare.apply.decoder.weights.LayerWeights;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.plan.SharingMap;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntToLongFunction;
import java.util.function.ToLongFunction;
import java.util.stream.IntStream;

/**
 * What a cache policy keeps of the keys and values of the layers that own a cache, for B sequences.
 * Made by {@link Decoder#newCache(CacheOptions, CachePolicy, int)}. A text begins with a prompt,
 * whose length settles budgets that are fractions of it; only then are there slots.
 *
 * <p>Each owning layer has slots, the same number for each sequence and key/value head, but not
 * with the same tokens in them. Layers that share read their source's slots. Between two calls of
 * the decoder no layer holds more tokens than its rule allows.
 */
public final class CompressedCache implements DecodingCache {
  /** Places in a rule of {@code compressed.py}. */
  private static final int SPAN = 2;

  private static final int REACH = 3;
  private static final int OWN_WINDOW = 7;
  private static final int GROUP = 8;
  private static final int OWN_SINKS = 9;
  private static final int SPAN_SINKS = 10;

  private final KvCache.Storage storage;
  private final CacheOptions options;
  private final CachePolicy policy;
  private int batch;
  private final PtNDManager manager;
  private final LayerWeights.UnderPlan layers;
  private final Map<Integer, LayerStore> stores = new LinkedHashMap<>();
  private CachePlan plan;
  private PtNDArray first;
  private int padding;
  private List<IValue> statesAndRules = List.of();
  private int promptTokens;
  private int length;
  private int origin;
  private boolean promptRead;
  private long mostBytes;

  /** A cache before its prompt. */
  CompressedCache(KvCache.Storage storage, CacheOptions options, CachePolicy policy, int batch) {
    this.storage = storage;
    this.options = options;
    this.policy = policy;
    this.batch = batch;
    this.manager = (PtNDManager) storage.parent().newSubManager();
    this.layers = storage.layers(options);
  }

  @Override
  public SharingMap map() {
    return options.map();
  }

  /** Whether the prompt is computed as the unshared model does. */
  boolean isExact() {
    return options.plan().prefill() == Prefill.EXACT;
  }

  /** What decides which tokens stay. */
  public CachePolicy policy() {
    return policy;
  }

  @Override
  public int batch() {
    return batch;
  }

  @Override
  public int length() {
    return length;
  }

  @Override
  public long bytes() {
    return stores.values().stream().mapToLong(LayerStore::bytes).sum();
  }

  @Override
  public long mostBytes() {
    return mostBytes;
  }

  /** Counts what is there and so many bytes besides. */
  void countBytes(long besides) {
    mostBytes = Math.max(mostBytes, bytes() + besides);
  }

  /**
   * The bytes that {@link #bytes()} should be, from the shapes of the model and the policy alone;
   * known once the prompt has been read.
   */
  public long predictedBytes() {
    return batch * plan.bytes(promptTokens, length);
  }

  /** Tokens that an owning layer keeps for each head now. */
  public int kept(int owner) {
    return stores.get(owner).filled();
  }

  /** The most tokens that an owning layer may keep for each head; of the prompt at least. */
  public int budget(int owner) {
    return plan.rule(owner).slots();
  }

  /**
   * The places in the text of the tokens that a layer sees, ascending.
   *
   * @param layer any layer
   * @return B rows of Hkv heads; padding is below 0
   */
  public int[][][] places(int layer) {
    LayerStore store = stores.get(map().source(layer));
    try (PtNDArray places = store.places()) {
      int[] all = places.toIntArray();
      int heads = (int) places.getShape().get(1);
      int[][][] rows = new int[batch][heads][];
      for (int list = 0; list < batch * heads; list++) {
        int from = list * store.filled();
        rows[list / heads][list % heads] = Arrays.copyOfRange(all, from, from + store.filled());
        Arrays.sort(rows[list / heads][list % heads]);
      }
      return rows;
    }
  }

  @Override
  public void select(int... rows) {
    try (PtNDArray chosen = storage.rows(manager, rows)) {
      for (LayerStore store : stores.values()) {
        store.replace(tensor -> storage.select(tensor, chosen));
      }
      first = first == null || first.size() == 0 ? first : storage.select(first, chosen);
    }
    batch = rows.length;
    if (plan != null) {
      refresh();
    }
  }

  @Override
  public CompressedCache copy(int... rows) {
    if (plan == null) {
      throw new IllegalStateException("a compressed cache has nothing to copy before its prompt.");
    }
    CompressedCache copy = new CompressedCache(storage, options, policy, rows.length);
    copy.plan = plan;
    copy.promptTokens = promptTokens;
    copy.padding = padding;
    copy.length = length;
    copy.origin = origin;
    copy.promptRead = promptRead;
    try (PtNDArray chosen = storage.rows(manager, rows)) {
      copy.first =
          first.size() == 0
              ? (PtNDArray) copy.manager.create(new long[0], new Shape(0))
              : storage.copy(first, chosen, copy.manager);
      stores.forEach(
          (owner, store) ->
              copy.stores.put(
                  owner,
                  store.copy(copy.manager, tensor -> storage.copy(tensor, chosen, copy.manager))));
    }
    copy.refresh();
    return copy;
  }

  /** Keeps what there is to keep of a prompt that the unshared model read. */
  void reduce(KvCache unshared) {
    beginExact(unshared.length(), unshared.first().toLongArray());
    for (int owner : map().owners()) {
      LayerStore store = newStore(owner);
      if (store.isScored()) {
        throw new IllegalArgumentException(
            "%s keeps tokens by the attention that they receive, which keys and values alone do not tell. Use Decoder.prefill."
                .formatted(policy.name()));
      }
      PtNDArray[] all = unshared.keysAndValues(owner);
      store.fill(all[0], all[1], promptTokens, storage);
      settle(owner, store);
    }
    endPrompt();
  }

  @Override
  public void close() {
    statesAndRules.forEach(IValue::close);
    layers.close();
    manager.close();
  }

  /** Makes room for a prompt, its rows as {@link PromptBatch#firstPositions} says. */
  void begin(int tokens, long[] firstColumns) {
    settlePlan(tokens, firstColumns);
    for (int owner : map().owners()) {
      int slots = CachePlan.slots(tokens, bound(owner));
      boolean scored = plan.scored(owner, false);
      stores.put(owner, newStore(owner, plan.format(), slots, scored));
    }
    refresh();
  }

  /** Takes a prompt that is computed exactly: layers have no slots until it is through them. */
  void beginExact(int tokens, long[] firstColumns) {
    settlePlan(tokens, firstColumns);
    length = tokens;
    promptRead = true;
  }

  private void settlePlan(int tokens, long[] firstColumns) {
    if (plan != null) {
      throw new IllegalStateException("a compressed cache reads one prompt, at the start.");
    }
    ModelSpec spec = storage.spec();
    plan = new CachePlan(spec, options.plan(), policy, storage.type(), tokens);
    promptTokens = tokens;
    padding = (int) Arrays.stream(firstColumns).max().orElse(0);
    first = (PtNDArray) manager.create(firstColumns, new Shape(firstColumns.length));
  }

  private LayerStore newStore(int owner, KeyValueFormat format, int slots, boolean scored) {
    return new LayerStore(
        storage.script(),
        manager,
        format,
        storage.type(),
        storage.spec().blocks().get(owner).attention(),
        batch,
        slots,
        ringFrom(owner),
        scored);
  }

  /** Slots for all of an exact prompt, in the compute type, to be settled. */
  LayerStore newStore(int owner) {
    int slots = CachePlan.slots(promptTokens, KeepRule.NO_BOUND);
    return newStore(owner, KeyValueFormat.COMPUTE_TYPE, slots, plan.scored(owner, false));
  }

  /**
   * Keeps what an owning layer is to keep of the exact prompt that was written to {@code store}.
   */
  void settle(int owner, LayerStore store) {
    if (!store.isScored()) {
      storage.script().run(null, "set_places", store.state(), promptTokens, first);
    }
    store.advance(promptTokens);
    stores.put(owner, store);
    countBytes(0);
    settle(owner);
    if (plan.format() != KeyValueFormat.COMPUTE_TYPE) {
      LayerStore integers =
          newStore(owner, plan.format(), store.capacity(), plan.scored(owner, true));
      stores.put(owner, integers);
      storage
          .script()
          .run(
              null,
              "settle",
              integers.state(),
              store.state(),
              rule(owner, true),
              store.filled(),
              first);
      integers.advance(store.filled());
      countBytes(store.bytes());
      store.close();
    }
  }

  /** Makes room for new tokens; a single one takes the slot of another when a layer is full. */
  void reserve(int tokens) {
    boolean changed = false;
    for (Map.Entry<Integer, LayerStore> entry : stores.entrySet()) {
      LayerStore store = entry.getValue();
      int wanted = store.filled() + tokens;
      int bound = bound(entry.getKey());
      boolean takesOver = tokens == 1 && store.filled() == bound;
      if (wanted > store.capacity() && !takesOver) {
        store.resize(CachePlan.slots(wanted, Math.max(wanted, bound)));
        changed = true;
      }
    }
    if (changed) {
      refresh();
    }
  }

  /** Counts tokens that were written, and drops what is too much. */
  void advance(int tokens) {
    length += tokens;
    boolean changed = false;
    for (Map.Entry<Integer, LayerStore> entry : stores.entrySet()) {
      int bound = bound(entry.getKey());
      entry.getValue().advance(tokens);
      changed |= evict(entry.getKey(), bound, bound);
    }
    if (changed) {
      refresh();
    }
  }

  /** Counts the prompt as read: what is kept of it is settled, and budgets hold from now on. */
  void endPrompt() {
    promptRead = true;
    stores.keySet().forEach(this::settle);
    refresh();
  }

  /** Leaves what an owning layer keeps of the prompt. */
  private void settle(int owner) {
    KeepRule rule = plan.rule(owner);
    int bound = bound(owner);
    evict(owner, rule.time() == EvictionTime.AFTER_PROMPT ? rule.slots() : bound, bound);
    if (!plan.scored(owner, true)) {
      stores.get(owner).forgetScores();
    }
  }

  /** What is kept; null before the prompt. */
  CachePlan plan() {
    return plan;
  }

  /** Brings the tensors of a layer into memory, where not all are. */
  void enter(int layer) {
    layers.enter(layer);
  }

  /** The first real column of each row, int64 [B]; [0] where nothing is padded. */
  PtNDArray first() {
    return first;
  }

  /** Columns of padding before the shortest row. */
  int padding() {
    return padding;
  }

  /**
   * What {@code compressed.py} takes of all layers: where rows begin, weights, and for each layer
   * the state that it reads and its rule.
   */
  List<Object> arguments() {
    return List.of(first, layers.arguments(), statesAndRules);
  }

  /** For each layer 1 if it writes keys and values, else 0. */
  long[] owns() {
    return byLayer(layer -> ScriptNumbers.flag(map().ownsCache(layer)));
  }

  /** The column at which the rotary tables begin. */
  int origin() {
    return origin;
  }

  /** Moves the beginning of the rotary tables; keys were turned accordingly. */
  void setOrigin(int column) {
    origin = column;
  }

  /** The slots of an owning layer. */
  LayerStore store(int owner) {
    return stores.get(owner);
  }

  /** The rule of what a layer reads, and what it sees of it, as {@code compressed.py} takes it. */
  long[] rule(int layer, boolean behindPrompt) {
    KeepRule rule = plan.rule(layer);
    boolean observed = plan.scored(layer, behindPrompt);
    return new long[] {
      rule.sinks(),
      rule.recent(),
      plan.seen(layer).last(),
      rule.cachePositions() ? plan.reach() : 0,
      observed ? Math.max(0L, (long) promptTokens - rule.observation().lastQueries()) : -1,
      ScriptNumbers.flag(rule.observation().averaged()),
      rule.observation().pooling(),
      plan.window(layer).last(),
      plan.format().byChannel() ? KeyValueFormat.GROUP : 0,
      plan.window(layer).first(),
      plan.seen(layer).first()
    };
  }

  /**
   * The rule of an owning layer while an exact prefill computes it: it sees all that the unshared
   * model sees, and attention is observed.
   */
  long[] unsharedRule(int owner) {
    long[] rule = rule(owner, false);
    for (int bounds : new int[] {SPAN, REACH, OWN_WINDOW, GROUP, OWN_SINKS, SPAN_SINKS}) {
      rule[bounds] = 0;
    }
    return rule;
  }

  /** For each layer a number of the store that it reads. */
  long[] bySource(ToLongFunction<LayerStore> number) {
    return byLayer(layer -> number.applyAsLong(stores.get(map().source(layer))));
  }

  /** For each layer the lowest one that sees the same tokens in the same slots. */
  long[] alike() {
    return byLayer(
        layer ->
            plan.rule(layer).observation().isActive() && !isWhole(layer)
                ? layer
                : plan.alike(layer));
  }

  /** For each layer whether its slots have first and then last tokens as they stand in the text. */
  long[] inOrder() {
    return byLayer(
        layer -> {
          boolean ends = isWhole(layer) || plan.rule(layer).keepsEnds();
          boolean ordered = stores.get(map().source(layer)).staysInOrder();
          return ScriptNumbers.flag(padding == 0 && ends && ordered);
        });
  }

  /** Whether nothing was dropped so far of what a layer reads. */
  private boolean isWhole(int layer) {
    return stores.get(map().source(layer)).filled() == length;
  }

  private long[] byLayer(IntToLongFunction number) {
    return IntStream.range(0, map().layers()).mapToLong(number).toArray();
  }

  /** Where the slots of an owning layer begin of which the next token takes the oldest's. */
  private int ringFrom(int owner) {
    KeepRule rule = plan.rule(owner);
    // In padded rows padding goes first, of which rows have more or less.
    return rule.keepsEnds() && padding == 0 ? rule.sinks() : -1;
  }

  /** Leaves so many tokens, and room for no more than {@code bound}; returns whether it did. */
  private boolean evict(int owner, int tokens, int bound) {
    LayerStore store = stores.get(owner);
    int kept = Math.min(tokens, store.filled());
    int capacity = CachePlan.slots(kept, bound);
    if (store.filled() > kept) {
      List<Object> ranked = List.of(store.state(), rule(owner, false), store.filled());
      try (PtNDArray chosen =
          storage.script().run(manager, "survivors", ranked, kept, length, first)) {
        store.keep(chosen, capacity);
      }
      return true;
    }
    if (store.capacity() > capacity) {
      store.resize(capacity);
      return true;
    }
    return false;
  }

  /** Tokens that an owning layer may hold at this time. */
  private int bound(int owner) {
    KeepRule rule = plan.rule(owner);
    boolean holds =
        rule.time() == EvictionTime.ALWAYS
            || (promptRead && rule.time() == EvictionTime.WHILE_DECODING);
    return holds ? rule.slots() : KeepRule.NO_BOUND;
  }

  private void refresh() {
    statesAndRules.forEach(IValue::close);
    List<Integer> all = IntStream.range(0, map().layers()).boxed().toList();
    statesAndRules =
        List.of(
            ScriptNumbers.nested(
                all, layer -> IValue.listFrom(stores.get(map().source(layer)).state())),
            ScriptNumbers.nested(all, layer -> IValue.listFrom(rule(layer, promptRead))));
    countBytes(0);
  }
}
