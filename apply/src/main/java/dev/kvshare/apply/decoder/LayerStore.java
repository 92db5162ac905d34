package dev.kvshare.apply.decoder;

import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.family.spec.AttentionSpec;
import java.util.function.Supplier;

/**
 * Slots of one owning layer of a {@link CompressedCache}, B sequences times Hkv heads side by side.
 * The tensors are those that {@code compressed.py} lists as the state of a layer.
 */
final class LayerStore {
  private static final int INT8 = 1;
  private static final int INT32 = 3;
  private static final int FLOAT32 = 6;

  private final ScriptModule script;
  private final PtNDManager manager;
  private final KeyValueFormat format;
  private final ComputeType type;
  private PtNDArray keys;
  private PtNDArray values;
  private PtNDArray keyScales;
  private PtNDArray valueScales;
  private final PtNDArray open;
  private final int ringFrom;
  private PtNDArray places;
  private PtNDArray scores;
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
      CachePlan plan,
      AttentionSpec attention,
      int batch,
      int capacity,
      int ringFrom,
      boolean scored) {
    this.script = script;
    this.manager = manager;
    this.format = plan.format();
    this.type = plan.type();
    this.capacity = capacity;
    this.ringFrom = ringFrom;
    long heads = attention.keyValueHeads();
    long size = attention.headSize();
    long number = format == KeyValueFormat.COMPUTE_TYPE ? type.scriptCode() : INT8;
    boolean byChannel = format == KeyValueFormat.INT8_PER_CHANNEL;
    boolean shrunk = format != KeyValueFormat.COMPUTE_TYPE;
    keys = zeros(number, batch, heads, capacity, size);
    values = zeros(number, batch, heads, capacity, size);
    keyScales =
        byChannel
            ? zeros(FLOAT32, batch, heads, capacity / KeyValueFormat.GROUP, size)
            : shrunk ? zeros(FLOAT32, batch, heads, capacity, 1) : zeros(FLOAT32, 0);
    valueScales = shrunk ? zeros(FLOAT32, batch, heads, capacity, 1) : zeros(FLOAT32, 0);
    open =
        byChannel
            ? zeros(type.scriptCode(), batch, heads, KeyValueFormat.GROUP, size)
            : zeros(FLOAT32, 0);
    places = zeros(INT32, batch, heads, capacity);
    scores = scored ? zeros(FLOAT32, batch, heads, capacity) : zeros(FLOAT32, 0);
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
    long scales = keyScales.size() + valueScales.size() + scores.size();
    return (keys.size() + values.size()) * number
        + scales * Float.BYTES
        + open.size() * type.bytes()
        + places.size() * Integer.BYTES;
  }

  /** The places in the text of the kept tokens, int32 [B, Hkv, filled]; a view. */
  PtNDArray places() {
    return (PtNDArray) places.get(":, :, 0:" + filled);
  }

  /** As {@code compressed.py} takes it. */
  PtNDArray[] state() {
    return new PtNDArray[] {keys, values, keyScales, valueScales, open, places, scores};
  }

  /** Keeps the filled slots and changes their number. */
  void resize(int newCapacity) {
    if (newCapacity != capacity) {
      boolean byChannel = format == KeyValueFormat.INT8_PER_CHANNEL;
      int group = byChannel ? KeyValueFormat.GROUP : 1;
      keys = grown(keys, filled, newCapacity);
      values = grown(values, filled, newCapacity);
      keyScales = grown(keyScales, filled / group, newCapacity / group);
      valueScales = grown(valueScales, filled, newCapacity);
      places = grown(places, filled, newCapacity);
      scores = grown(scores, filled, newCapacity);
      capacity = newCapacity;
    }
  }

  /**
   * Keeps the chosen slots only.
   *
   * @param chosen int64 [B, Hkv, n], in the order of the text
   */
  void keep(PtNDArray chosen, int newCapacity) {
    keys = picked(keys, chosen, newCapacity);
    values = picked(values, chosen, newCapacity);
    keyScales = picked(keyScales, chosen, newCapacity);
    valueScales = picked(valueScales, chosen, newCapacity);
    places = picked(places, chosen, newCapacity);
    scores = picked(scores, chosen, newCapacity);
    filled = (int) chosen.getShape().get(2);
    oldest = 0;
    capacity = newCapacity;
  }

  /** Frees what was observed. */
  void forgetScores() {
    scores.close();
    scores = zeros(FLOAT32, 0);
  }

  private PtNDArray zeros(long code, long... sizes) {
    return script.zeros(manager, new Shape(sizes), code);
  }

  private PtNDArray grown(PtNDArray old, int count, int slots) {
    return replaced(old, () -> script.run(manager, "grown", old, count, slots));
  }

  private PtNDArray picked(PtNDArray old, PtNDArray chosen, int slots) {
    return replaced(old, () -> script.run(manager, "pick", old, chosen, slots));
  }

  private static PtNDArray replaced(PtNDArray old, Supplier<PtNDArray> change) {
    if (old.size() == 0) {
      return old;
    }
    PtNDArray changed = change.get();
    old.close();
    return changed;
  }
}
