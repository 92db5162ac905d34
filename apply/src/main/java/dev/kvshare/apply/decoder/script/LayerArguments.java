package dev.kvshare.apply.decoder.script;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.weights.OffloadedWeights;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** The tensors and ints of every layer as {@code decoder.py} takes them. */
public final class LayerArguments implements AutoCloseable {
  private final List<Layer> layers;
  private final ScriptModule script;
  private final OffloadedWeights window;
  private final IValue[] lists;
  private final IValue[] readerLists;
  private final List<PtNDArray> queryRows = new ArrayList<>();
  private final IValue weights;
  private final LayerNumbers numbers;

  /**
   * One layer.
   *
   * @param block what it computes; its biases are the ones that are used
   * @param source gives its tensors in the order of {@link ScriptArguments#LAYER_ROLES}; where not
   *     all layers are in memory, those of the layer that was asked for last are valid
   */
  public record Layer(BlockSpec block, Supplier<List<PtNDArray>> source) {

    public List<PtNDArray> tensors() {
      return source.get();
    }

    /** The tensor of a role; an empty one where the layer has none. */
    public PtNDArray tensor(WeightRole role) {
      return tensors().get(ScriptArguments.LAYER_ROLES.indexOf(role));
    }
  }

  /**
   * @param rotaryKinds the distinct rotary embeddings in the order of their numbers
   * @param windowOrNull where the tensors are while their layer runs; null where all are in memory
   */
  LayerArguments(
      List<Layer> layers,
      List<RotarySpec> rotaryKinds,
      ScriptModule script,
      OffloadedWeights windowOrNull) {
    this.layers = List.copyOf(layers);
    this.script = script;
    this.window = windowOrNull;
    this.lists = layers.stream().map(this::newList).toArray(IValue[]::new);
    this.readerLists = new IValue[lists.length];
    this.weights = IValue.listFrom(lists);
    this.numbers = new LayerNumbers(blocks(), rotaryKinds, Plan.identity(layers.size()));
  }

  public List<Layer> layers() {
    return layers;
  }

  /** What the layers compute. */
  List<BlockSpec> blocks() {
    return layers.stream().map(Layer::block).toList();
  }

  /** Tensors of each layer. */
  public IValue weights() {
    return weights;
  }

  /**
   * Tensors of each layer under a map: layers that keep no keys and values of their own have the
   * rows of the queries alone, made when the first map asks for them. The caller closes the list.
   */
  public IValue weights(SharingMap map) {
    IValue[] chosen = new IValue[lists.length];
    for (int layer = 0; layer < chosen.length; layer++) {
      chosen[layer] = map.ownsCache(layer) ? lists[layer] : readerList(layer);
    }
    return IValue.listFrom(chosen);
  }

  /** Brings the tensors of a layer into memory for the next call with all its weights. */
  public void enter(int number) {
    if (window != null) {
      window.fill(number, lists[number], layers.get(number)::tensors);
    }
  }

  /** The same for a call under a map. */
  public void enter(int number, SharingMap map) {
    if (map.ownsCache(number)) {
      enter(number);
    } else if (window != null) {
      window.fill(number, readerList(number), () -> readerTensors(number, window::own));
    }
  }

  private IValue newList(Layer layer) {
    return window == null
        ? script.passed(layer.tensors())
        : window.newList(ScriptArguments.LAYER_ROLES.size());
  }

  private IValue readerList(int number) {
    if (readerLists[number] == null) {
      readerLists[number] =
          window == null
              ? script.passed(readerTensors(number, queryRows::add))
              : window.newList(ScriptArguments.LAYER_ROLES.size());
    }
    return readerLists[number];
  }

  /**
   * @param owner told the rows of the queries
   */
  private List<PtNDArray> readerTensors(int number, Consumer<PtNDArray> owner) {
    Layer layer = layers.get(number);
    AttentionSpec attention = layer.block().attention();
    List<PtNDArray> tensors = new ArrayList<>(layer.tensors());
    int slot = ScriptArguments.LAYER_ROLES.indexOf(WeightRole.QUERY_KEY_VALUE);
    long rows = (long) attention.queryHeads() * attention.headSize();
    PtNDArray queries = script.leadingRows(tensors.get(slot), rows);
    owner.accept(queries);
    tensors.set(slot, queries);
    return tensors;
  }

  /** Ints of each layer where nothing but the model sets windows. */
  public LayerNumbers numbers() {
    return numbers;
  }

  @Override
  public void close() {
    weights.close();
    Stream.of(lists, readerLists)
        .flatMap(Arrays::stream)
        .filter(Objects::nonNull)
        .forEach(this::close);
    queryRows.forEach(PtNDArray::close);
    numbers.close();
  }

  private void close(IValue list) {
    if (window != null) {
      window.forget(list);
    }
    list.close();
  }

  /** One list of what each entry becomes. */
  static <T> IValue nested(List<T> entries, Function<T, IValue> toList) {
    IValue[] lists = entries.stream().map(toList).toArray(IValue[]::new);
    IValue nested = IValue.listFrom(lists);
    for (IValue list : lists) {
      list.close();
    }
    return nested;
  }
}
