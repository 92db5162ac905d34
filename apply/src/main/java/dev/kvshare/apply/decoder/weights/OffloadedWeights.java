package dev.kvshare.apply.decoder.weights;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ScriptModule;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Supplier;

/**
 * Weights of which one group is in memory at a time. A group is a layer, by its number, or the
 * output head; it is read when it is asked for and another one is there.
 *
 * <p>Calls are given lists of tensors that are made once and that caches hold. Such a list is
 * filled when its group is about to run, and emptied when the group leaves memory.
 */
public final class OffloadedWeights implements AutoCloseable {
  private static final int NONE = -1;

  private final ScriptModule script;
  private final PtNDManager parent;
  private final BiFunction<Integer, PtNDManager, List<PtNDArray>> reader;
  private final PtNDArray absent;
  private final Set<IValue> filled = Collections.newSetFromMap(new IdentityHashMap<>());
  private int group = NONE;
  private PtNDManager manager;
  private List<PtNDArray> tensors;
  private long reads;

  /**
   * @param parent of the managers of the groups
   * @param absent stands where a list has no tensor; not closed with a group
   * @param reader gives the tensors of a group, which belong to the manager given
   */
  public OffloadedWeights(
      ScriptModule script,
      PtNDManager parent,
      PtNDArray absent,
      BiFunction<Integer, PtNDManager, List<PtNDArray>> reader) {
    this.script = script;
    this.parent = parent;
    this.reader = reader;
    this.absent = absent;
  }

  /** The tensors of a group; valid until another group is asked for. */
  public List<PtNDArray> tensors(int wanted) {
    if (group != wanted) {
      release();
      manager = (PtNDManager) parent.newSubManager();
      try {
        tensors = reader.apply(wanted, manager);
      } catch (RuntimeException | Error e) {
        manager.close();
        throw e;
      }
      group = wanted;
      reads++;
    }
    return tensors;
  }

  /** An empty list for calls. The caller closes it, having told {@link #forget}. */
  public IValue newList(int size) {
    return script.passed(Collections.nCopies(size, absent));
  }

  /**
   * Fills a list for calls, unless it is filled.
   *
   * @param contents tensors of the group, or made of them and owned by their manager, or others
   */
  public void fill(int wanted, IValue list, Supplier<List<PtNDArray>> contents) {
    tensors(wanted);
    if (!filled.contains(list)) {
      try (IValue passed = script.passed(contents.get())) {
        script.run(null, "replace", list, passed);
      }
      filled.add(list);
    }
  }

  /** Closes a tensor with the group that is there. */
  public void own(PtNDArray tensor) {
    tensor.attach(manager);
  }

  /** Says that a list is about to be closed. */
  public void forget(IValue list) {
    filled.remove(list);
  }

  /** Groups that were read so far. */
  public long reads() {
    return reads;
  }

  @Override
  public void close() {
    release();
  }

  private void release() {
    for (IValue list : filled) {
      script.run(null, "clear_list", list, absent);
    }
    filled.clear();
    if (group != NONE) {
      group = NONE;
      tensors = null;
      manager.close();
    }
  }
}
