package dev.kvshare.apply.decoder;

import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.family.spec.AttentionSpec;
import java.util.Arrays;
import java.util.function.UnaryOperator;

/**
 * Slots of one owning layer of a {@link CompressedCache}, B sequences times Hkv heads side by side.
 * The tensors are those that {@code compressed.py} lists as the state of a layer.
 */
final class LayerStore {
  private static final int KEYS = 0;
  private static final int VALUES = 1;
  private static final int KEY_SCALES = 2;
  private static final int VALUE_SCALES = 3;
  private static final int OPEN = 4;
  private static final int PLACES = 5;
  private static final int SCORES = 6;

  private static final int UINT8 = 0;
  private static final int INT8 = 1;
  private static final int INT32 = 3;
  private static final int FLOAT32 = 6;

  private final ScriptModule script;
  private final PtNDManager manager;
  private final KeyValueFormat format;
  private final ComputeType type;
  private final PtNDArray[] state;
  private final int ringFrom;
  private int capacity;
  private int filled;
  private int oldest;

  /**
   * @param manager owns the tensors
   * @param ringFrom the slot behind those of sinks, where in all others the oldest token makes room
   *     for the next; -1 where another may
   * @param scored whether attention is added up
   */
  LayerStore(
      ScriptModule script,
      PtNDManager manager,
      KeyValueFormat format,
      ComputeType type,
      AttentionSpec attention,
      int batch,
      int capacity,
      int ringFrom,
      boolean scored) {
    this.script = script;
    this.manager = manager;
    this.format = format;
    this.type = type;
    this.capacity = capacity;
    this.ringFrom = ringFrom;
    long heads = attention.keyValueHeads();
    long size = attention.headSize();
    long number =
        switch (format.bits()) {
          case 0 -> type.scriptCode();
          case 4 -> UINT8;
          default -> INT8;
        };
    long inRow = format.bits() == 4 ? size / 2 : size;
    boolean byChannel = format.byChannel();
    PtNDArray none = zeros(FLOAT32, 0);
    state = new PtNDArray[] {none, none, none, none, none, none, none};
    state[KEYS] = zeros(number, batch, heads, capacity, inRow);
    state[VALUES] = zeros(number, batch, heads, capacity, inRow);
    if (format.bits() > 0) {
      state[KEY_SCALES] =
          byChannel
              ? zeros(FLOAT32, batch, heads, capacity / KeyValueFormat.GROUP, size)
              : zeros(FLOAT32, batch, heads, capacity, 1);
      state[VALUE_SCALES] = zeros(FLOAT32, batch, heads, capacity, 1);
    }
    if (byChannel) {
      state[OPEN] = zeros(type.scriptCode(), batch, heads, KeyValueFormat.GROUP, size);
    }
    state[PLACES] = zeros(INT32, batch, heads, capacity);
    if (scored) {
      state[SCORES] = zeros(FLOAT32, batch, heads, capacity);
    }
  }

  private LayerStore(LayerStore other, PtNDManager manager, UnaryOperator<PtNDArray> copied) {
    script = other.script;
    format = other.format;
    type = other.type;
    ringFrom = other.ringFrom;
    capacity = other.capacity;
    filled = other.filled;
    oldest = other.oldest;
    this.manager = manager;
    PtNDArray none = zeros(FLOAT32, 0);
    state =
        Arrays.stream(other.state)
            .map(tensor -> tensor.size() == 0 ? none : copied.apply(tensor))
            .toArray(PtNDArray[]::new);
  }

  /** The same with copies of the tensors, which are made for {@code owner}. */
  LayerStore copy(PtNDManager owner, UnaryOperator<PtNDArray> copied) {
    return new LayerStore(this, owner, copied);
  }

  /** Puts so many keys and values of others [B, Hkv, N, D] into empty slots, not counted yet. */
  void fill(PtNDArray keys, PtNDArray values, int tokens, KvCache.Storage storage) {
    state[KEYS] = storage.regrown(state[KEYS], keys, tokens, capacity);
    state[VALUES] = storage.regrown(state[VALUES], values, tokens, capacity);
  }

  /** Keys, values [B, Hkv, N, D], of 4 bits [B, Hkv, N, D / 2]. */
  PtNDArray[] keysAndValues() {
    return new PtNDArray[] {state[KEYS], state[VALUES]};
  }

  /** Whether attention is added up. */
  boolean isScored() {
    return state[SCORES].size() > 0;
  }

  /** Tokens that are kept. */
  int filled() {
    return filled;
  }

  /** Slots. */
  int capacity() {
    return capacity;
  }

  /** The slot of the next token; -1 when it takes that of another one that is not known yet. */
  int nextSlot() {
    if (filled < capacity) {
      return filled;
    }
    return ringFrom < 0 ? -1 : ringFrom + oldest;
  }

  /** Whether the slots are in the order of the text when the next tokens have been written. */
  boolean staysInOrder() {
    return oldest == 0 && filled < capacity;
  }

  /** Tokens that are kept when {@code tokens} more have been written. */
  int filledAfter(int tokens) {
    return Math.min(capacity, filled + tokens);
  }

  /** Counts tokens that were written. */
  void advance(int tokens) {
    if (filled == capacity && ringFrom >= 0) {
      oldest = (oldest + tokens) % (capacity - ringFrom);
    }
    filled = filledAfter(tokens);
  }

  /** Bytes of the tensors. */
  long bytes() {
    long number = format == KeyValueFormat.COMPUTE_TYPE ? type.bytes() : Byte.BYTES;
    long scales = state[KEY_SCALES].size() + state[VALUE_SCALES].size() + state[SCORES].size();
    return (state[KEYS].size() + state[VALUES].size()) * number
        + scales * Float.BYTES
        + state[OPEN].size() * type.bytes()
        + state[PLACES].size() * Integer.BYTES;
  }

  /** The places in the text of the kept tokens, int32 [B, Hkv, filled]; a view. */
  PtNDArray places() {
    return (PtNDArray) state[PLACES].get(":, :, 0:" + filled);
  }

  /** As {@code compressed.py} takes it. */
  PtNDArray[] state() {
    return state;
  }

  /** Keeps the filled slots and changes their number. */
  void resize(int newCapacity) {
    if (newCapacity != capacity) {
      for (int index = 0; index < state.length; index++) {
        boolean grouped = index == KEY_SCALES && format.byChannel();
        int group = grouped ? KeyValueFormat.GROUP : 1;
        replace(index, "grown", filled / group, newCapacity / group);
      }
      capacity = newCapacity;
    }
  }

  /** Keeps the chosen slots only, int64 [B, Hkv, n] in the order of the text. */
  void keep(PtNDArray chosen, int newCapacity) {
    for (int index = 0; index < state.length; index++) {
      replace(index, "pick", chosen, newCapacity);
    }
    filled = (int) chosen.getShape().get(2);
    oldest = 0;
    capacity = newCapacity;
  }

  /** Frees what was observed. */
  void forgetScores() {
    if (isScored()) {
      state[SCORES].close();
      state[SCORES] = zeros(FLOAT32, 0);
    }
  }

  /** Frees the tensors. */
  void close() {
    Arrays.stream(state).forEach(PtNDArray::close);
  }

  /** Puts others in place of the tensors that there are; the change closes the old ones. */
  void replace(UnaryOperator<PtNDArray> change) {
    for (int index = 0; index < state.length; index++) {
      state[index] = state[index].size() == 0 ? state[index] : change.apply(state[index]);
    }
  }

  private PtNDArray zeros(long code, long... sizes) {
    return script.zeros(manager, new Shape(sizes), code);
  }

  private void replace(int index, String method, Object... arguments) {
    PtNDArray old = state[index];
    if (index != OPEN && old.size() > 0) {
      state[index] = script.run(manager, method, old, Arrays.asList(arguments));
      old.close();
    }
  }
}
