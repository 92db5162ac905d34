package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.LayerWeights;
import dev.kvshare.apply.decoder.weights.ModelWeights;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Keys and values of the layers that keep their own, for B sequences. Made by {@link
 * Decoder#newCache}; closing it frees its tensors.
 */
public final class KvCache implements DecodingCache {
  private static final int BLOCK = 256;

  private final Storage storage;
  private final PtNDManager manager;
  private final Plan plan;
  private final SharingMap map;
  private final LayerWeights.UnderPlan layers;
  private final CacheOptions options;
  private int batch;
  private final KvCache lower;
  private final int fromLayer;
  private final PtNDArray[] keys;
  private final PtNDArray[] values;
  private final long[] owns;
  private PromptBatch.History history;
  private List<IValue> keysAndValues = List.of();
  private PtNDArray first;
  private int padding;
  private int length;
  private int capacity;
  private long mostBytes;
  private int promptTokens;

  /** What every cache of a decoder has in common; its tensors belong to sub-managers of parent. */
  record Storage(
      ModelSpec spec,
      ScriptModule script,
      ComputeType type,
      PtNDManager parent,
      ModelWeights weights) {

    /** The layers under the plan and with the weights of options; the caller closes them. */
    LayerWeights.UnderPlan layers(CacheOptions options) {
      WeightOverrides overrides = options.overrides();
      return (overrides == null ? weights.layers() : overrides.layers()).under(options.plan());
    }

    /** Numbers of rows as {@link #select} takes them. */
    PtNDArray rows(PtNDManager manager, int... rows) {
      return (PtNDArray) manager.create(Arrays.stream(rows).asLongStream().toArray());
    }

    /** The chosen rows of a tensor [B, ...], which is closed; the result has its owner. */
    PtNDArray select(PtNDArray tensor, PtNDArray rows) {
      try (tensor) {
        return copy(tensor, rows, tensor.getManager());
      }
    }

    /** The chosen rows of a tensor [B, ...]. */
    PtNDArray copy(PtNDArray tensor, PtNDArray rows, PtNDManager target) {
      return script.run(target, "select_rows", tensor, rows);
    }

    /**
     * The first positions of a tensor [B, Hkv, N, D] with room for more, in place of an old one,
     * which is closed; the result has its owner.
     */
    PtNDArray regrown(PtNDArray old, PtNDArray tensor, int positions, int capacity) {
      try (old) {
        return script.run(old.getManager(), "grown", tensor, positions, capacity);
      }
    }
  }

  /** An empty cache. */
  KvCache(Storage storage, CacheOptions options, int batch, int capacity) {
    this(storage, options, batch, null, 0);
    allocate(Math.max(1, capacity));
    setFirst(new long[0]);
  }

  private KvCache(Storage storage, CacheOptions options, int batch, KvCache lower, int fromLayer) {
    this.storage = storage;
    this.manager = (PtNDManager) storage.parent().newSubManager();
    this.options = options;
    this.plan = options.plan();
    this.map = plan.map();
    this.layers = storage.layers(options);
    this.batch = batch;
    this.lower = lower;
    this.fromLayer = fromLayer;
    this.keys = new PtNDArray[map.layers()];
    this.values = new PtNDArray[map.layers()];
    this.owns = new long[map.layers()];
    for (int layer : map.owners()) {
      owns[layer] = map.source(layer) == layer ? 1 : 2 + readerOf(layer);
    }
    this.history = new PromptBatch.History(batch);
  }

  /** Which keys and values each layer sees. */
  public Plan plan() {
    return plan;
  }

  /** Whether it runs under this plan with the checkpoint's own weights. */
  boolean isOf(Plan other) {
    return plan.equals(other) && options.overrides() == null;
  }

  @Override
  public SharingMap map() {
    return map;
  }

  @Override
  public int batch() {
    return batch;
  }

  /** Positions that hold keys and values. */
  @Override
  public int length() {
    return length;
  }

  /** Positions for which memory is allocated. */
  public int capacity() {
    return capacity;
  }

  /** The lowest layer that may be run with this cache: 0, or where a fork begins. */
  public int fromLayer() {
    return fromLayer;
  }

  /** Bytes of the tensors that this cache owns (not those read through a fork), as allocated. */
  @Override
  public long bytes() {
    long bytes = 0;
    for (int layer : map.owners()) {
      if (layer >= fromLayer) {
        bytes += (keys[layer].size() + values[layer].size()) * storage.type().bytes();
      }
    }
    return bytes;
  }

  @Override
  public long mostBytes() {
    return mostBytes;
  }

  /** Counts what is there and so many bytes besides. */
  void countBytes(long besides) {
    mostBytes = Math.max(mostBytes, bytes() + besides);
  }

  /** Counts {@code tokens} positions behind the end as filled. */
  public void advance(int tokens) {
    if (tokens < 0 || length + tokens > capacity) {
      throw new IllegalArgumentException(
          "a cache of %d positions, %d of them filled, cannot advance by %d."
              .formatted(capacity, length, tokens));
    }
    length += tokens;
  }

  /** Forgets the positions from {@code length} on. */
  public void truncate(int length) {
    if (length < 0 || length > this.length) {
      throw new IllegalArgumentException(
          "a cache of length %d cannot be truncated to %d.".formatted(this.length, length));
    }
    this.length = length;
    promptTokens = Math.min(promptTokens, length);
  }

  @Override
  public void select(int... rows) {
    if (lower != null) {
      throw new IllegalStateException("the rows of a forked cache are those of the other one.");
    }
    try (PtNDArray chosen = storage.rows(manager, rows)) {
      for (int layer : map.owners()) {
        keys[layer] = storage.select(keys[layer], chosen);
        values[layer] = storage.select(values[layer], chosen);
      }
    }
    long[] begin = first.toLongArray();
    setFirst(
        begin.length == 0 ? begin : Arrays.stream(rows).mapToLong(row -> begin[row]).toArray());
    batch = rows.length;
    history = history.select(rows);
    refresh();
  }

  @Override
  public KvCache copy(int... rows) {
    if (lower != null) {
      throw new IllegalStateException("a forked cache cannot be copied without the other one.");
    }
    KvCache copy = new KvCache(storage, options, rows.length, null, 0);
    try (PtNDArray chosen = storage.rows(manager, rows)) {
      for (int layer : map.owners()) {
        copy.keys[layer] = storage.copy(keys[layer], chosen, copy.manager);
        copy.values[layer] = storage.copy(values[layer], chosen, copy.manager);
      }
    }
    long[] begin = first.toLongArray();
    copy.setFirst(
        begin.length == 0 ? begin : Arrays.stream(rows).mapToLong(row -> begin[row]).toArray());
    copy.follow(history.select(rows), length, capacity, promptTokens);
    return copy;
  }

  /** Keeps of a prompt that the unshared model read what layers own; has room for it. */
  void reduce(KvCache unshared) {
    reserve(unshared.length);
    for (int layer : map.owners()) {
      keys[layer] = storage.regrown(keys[layer], unshared.keys[layer], unshared.length, capacity);
      values[layer] =
          storage.regrown(values[layer], unshared.values[layer], unshared.length, capacity);
    }
    setFirst(unshared.first.toLongArray());
    int[] rows = IntStream.range(0, batch).toArray();
    follow(unshared.history.select(rows), unshared.length, capacity, unshared.promptTokens);
  }

  /** What belongs to tensors that were put in place of those there were. */
  private void follow(PromptBatch.History tokens, int filled, int allocated, int ofPrompt) {
    history = tokens;
    length = filled;
    capacity = allocated;
    promptTokens = ofPrompt;
    refresh();
    countBytes(0);
  }

  /**
   * Keys after rotary embedding.
   *
   * @param layer a layer that keeps its own
   * @return float32 [B, Hkv, length, D]; where the compute type is float32 a view, valid until the
   *     cache grows; the caller closes it
   */
  public NDArray keys(int layer) {
    return filled(keys, layer);
  }

  /** Values, otherwise as {@link #keys}. */
  public NDArray values(int layer) {
    return filled(values, layer);
  }

  /**
   * A cache for another map that reads this one's tensors for the owners below {@code fromLayer}
   * and has its own for the owners from there on: to run the layers from {@code fromLayer} again on
   * stored hidden states, with the same weights. It starts at length 0 with room for this cache's
   * length, and cannot grow beyond. This cache must outlive it and keep its length meanwhile.
   *
   * <p>Neither this cache nor the fork may have a plan beyond its map: a layer that reads from
   * above cannot be run without the layers up to its source.
   *
   * @param forkMap equal to this one's map below {@code fromLayer}
   * @param fromLayer the first layer that is run anew
   */
  public KvCache fork(SharingMap forkMap, int fromLayer) {
    for (int layer = 0; layer < fromLayer; layer++) {
      if (forkMap.source(layer) != map.source(layer)) {
        throw new IllegalArgumentException(
            "a cache forked at layer %d must keep the map below it, but layer %d reads layer %d instead of %d."
                .formatted(fromLayer, layer, forkMap.source(layer), map.source(layer)));
      }
    }
    CacheOptions forkOptions = new CacheOptions(forkMap, options.overrides());
    InputChecks.plan(storage.spec(), forkOptions.plan());
    if (!plan.isPlain()) {
      throw new IllegalArgumentException(
          "a cache with windows or sources above their readers cannot be forked: " + plan);
    }
    KvCache fork = new KvCache(storage, forkOptions, batch, this, fromLayer);
    fork.allocate(Math.max(1, length));
    fork.setFirst(first.toLongArray());
    return fork;
  }

  @Override
  public void close() {
    keysAndValues.forEach(IValue::close);
    layers.close();
    manager.close();
  }

  /** Makes room for {@code positions} in all. */
  void reserve(int positions) {
    if (positions <= capacity) {
      return;
    }
    if (lower != null) {
      throw new IllegalStateException(
          "a cache forked from %d positions has no room for %d.".formatted(capacity, positions));
    }
    int wanted = Math.max(positions, capacity + capacity / 2);
    allocate((wanted + BLOCK - 1) / BLOCK * BLOCK);
  }

  /** Takes the first real position of each row of a batch; none where nothing is padded. */
  void setFirst(long[] positions) {
    if (first != null) {
      first.close();
    }
    padding = (int) Arrays.stream(positions).max().orElse(0);
    first = (PtNDArray) manager.create(positions, new Shape(positions.length));
  }

  /** The tokens behind the positions, for models that need them. */
  PromptBatch.History history() {
    return history;
  }

  /** Columns of padding before the shortest row; 0 where all rows are equally long. */
  int padding() {
    return padding;
  }

  /** Tokens of the prompt, of the longest row; 0 before it was read. */
  int promptTokens() {
    return promptTokens;
  }

  void setPromptTokens(int tokens) {
    promptTokens = tokens;
  }

  /** Keys, values of an owning layer, [B, Hkv, capacity, D]. */
  PtNDArray[] keysAndValues(int owner) {
    return new PtNDArray[] {keys[owner], values[owner]};
  }

  /** The layers that run with this cache. */
  LayerWeights.UnderPlan layers() {
    return layers;
  }

  /** Some layer that reads the keys and values of {@code owner}. */
  int readerOf(int owner) {
    int reader = 0;
    while (map.source(reader) != owner) {
      reader++;
    }
    return reader;
  }

  /** Makes the keys and values of {@code owner} zero at {@code tokens} positions from start on. */
  void clear(int owner, int start, int tokens) {
    storage.script().run(null, "clear", keys[owner], start, tokens);
    storage.script().run(null, "clear", values[owner], start, tokens);
  }

  /** Where rows begin, int64 [B] or [0]. */
  PtNDArray first() {
    return first;
  }

  /** For each layer the keys, then the values that it reads. */
  List<IValue> keysAndValues() {
    return keysAndValues;
  }

  /** What {@code decoder.py} takes of all layers: from their weights on, up to who writes. */
  List<Object> arguments() {
    return List.of(layers.arguments(), layers.kinds(), keysAndValues, owns);
  }

  private NDArray filled(PtNDArray[] tensors, int layer) {
    if (!map.ownsCache(layer)) {
      throw new IllegalArgumentException(
          "layer %d has no keys and values of its own: it reads those of layer %d."
              .formatted(layer, map.source(layer)));
    }
    NDArray view = tensors[layer].get(":, :, 0:" + length);
    if (storage.type() == ComputeType.FLOAT32) {
      return view;
    }
    try (view) {
      return storage.script().convert(manager, (PtNDArray) view, ComputeType.FLOAT32);
    }
  }

  private void allocate(int positions) {
    for (int layer : map.owners()) {
      if (layer < fromLayer) {
        keys[layer] = lower.keys[layer];
        values[layer] = lower.values[layer];
      } else {
        keys[layer] = grow(keys[layer], layer, positions);
        values[layer] = grow(values[layer], layer, positions);
      }
    }
    refresh();
    capacity = positions;
    countBytes(0);
  }

  private void refresh() {
    keysAndValues.forEach(IValue::close);
    keysAndValues = List.of(bySource(keys), bySource(values));
  }

  private PtNDArray grow(PtNDArray old, int layer, int positions) {
    if (old != null) {
      try (old) {
        return storage.script().run(manager, "grown", old, length, positions);
      }
    }
    AttentionSpec attention = storage.spec().blocks().get(layer).attention();
    Shape shape = new Shape(batch, attention.keyValueHeads(), positions, attention.headSize());
    return storage.script().zeros(manager, shape, storage.type());
  }

  private IValue bySource(PtNDArray[] tensors) {
    PtNDArray[] read = new PtNDArray[map.layers()];
    for (int layer = 0; layer < read.length; layer++) {
      read[layer] = tensors[map.source(layer)];
    }
    return IValue.listFrom(read);
  }
}
