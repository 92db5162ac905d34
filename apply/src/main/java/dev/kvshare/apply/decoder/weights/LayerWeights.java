package dev.kvshare.apply.decoder.weights;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.script.ScriptNumbers;
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
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * The tensors of every layer in the lists that {@code decoder.py} takes, with the ints that go with
 * them.
 */
public final class LayerWeights implements AutoCloseable {
  private final List<Layer> layers;
  private final ScriptModule script;
  private final OffloadedWeights offloaded;
  private final IValue[] lists;
  private final IValue[] readerLists;
  private final List<PtNDArray> queryRows = new ArrayList<>();
  private final IValue weights;
  private final List<RotarySpec> rotaryKinds;
  private final ScriptNumbers numbers;

  /**
   * One layer.
   *
   * @param block what it computes; its biases are the ones that are used
   * @param source gives its tensors in the order of {@link ModelWeights#LAYER_ROLES}; where not all
   *     layers are in memory, those of the layer that was asked for last are valid
   */
  public record Layer(BlockSpec block, Supplier<List<PtNDArray>> source) {

    public List<PtNDArray> tensors() {
      return source.get();
    }

    /** The tensor of a role; an empty one where the layer has none. */
    public PtNDArray tensor(WeightRole role) {
      return tensors().get(ModelWeights.LAYER_ROLES.indexOf(role));
    }
  }

  /**
   * @param rotaryKinds the distinct rotary embeddings in the order of their numbers
   * @param offloadedOrNull where the tensors are while their layer runs; null where all are in
   *     memory
   */
  LayerWeights(
      List<Layer> layers,
      List<RotarySpec> rotaryKinds,
      ScriptModule script,
      OffloadedWeights offloadedOrNull) {
    this.layers = List.copyOf(layers);
    this.script = script;
    this.offloaded = offloadedOrNull;
    this.lists = layers.stream().map(this::newList).toArray(IValue[]::new);
    this.readerLists = new IValue[lists.length];
    this.weights = IValue.listFrom(lists);
    this.rotaryKinds = rotaryKinds;
    this.numbers = new ScriptNumbers(blocks(), rotaryKinds, Plan.identity(layers.size()));
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
   * rows of the queries alone, made when the first map asks for them.
   */
  private IValue weights(SharingMap map) {
    IValue[] chosen = new IValue[lists.length];
    for (int layer = 0; layer < chosen.length; layer++) {
      chosen[layer] = map.ownsCache(layer) ? lists[layer] : readerList(layer);
    }
    return IValue.listFrom(chosen);
  }

  /** The layers under a plan, for calls with a cache. */
  public UnderPlan under(Plan plan) {
    return new UnderPlan(plan);
  }

  /** The layers under a plan as calls with a cache take them; closing it leaves the layers. */
  public final class UnderPlan implements AutoCloseable {
    private final SharingMap map;
    private final IValue tensors;
    private final ScriptNumbers planned;

    private UnderPlan(Plan plan) {
      this.map = plan.map();
      this.tensors = weights(map);
      this.planned = numbers(plan);
    }

    /** Tensors, ints and floats of each layer. */
    public List<Object> arguments() {
      return List.of(tensors, planned.layers());
    }

    /** The distinct kinds of attention. */
    public IValue kinds() {
      return planned.kinds();
    }

    /** Brings the tensors of a layer into memory, where not all are. */
    public void enter(int number) {
      LayerWeights.this.enter(number, map);
    }

    @Override
    public void close() {
      tensors.close();
      if (planned != numbers) {
        planned.close();
      }
    }
  }

  /** Brings the tensors of a layer into memory for the next call with all its weights. */
  public void enter(int number) {
    if (offloaded != null) {
      offloaded.fill(number, lists[number], layers.get(number)::tensors);
    }
  }

  private void enter(int number, SharingMap map) {
    if (map.ownsCache(number)) {
      enter(number);
    } else if (offloaded != null) {
      offloaded.fill(number, readerList(number), () -> readerTensors(number, offloaded::own));
    }
  }

  private IValue newList(Layer layer) {
    return offloaded == null
        ? script.passed(layer.tensors())
        : offloaded.newList(ModelWeights.LAYER_ROLES.size());
  }

  private IValue readerList(int number) {
    if (readerLists[number] == null) {
      readerLists[number] =
          offloaded == null
              ? script.passed(readerTensors(number, queryRows::add))
              : offloaded.newList(ModelWeights.LAYER_ROLES.size());
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
    int slot = ModelWeights.LAYER_ROLES.indexOf(WeightRole.QUERY_KEY_VALUE);
    long rows = (long) attention.queryHeads() * attention.headSize();
    PtNDArray whole = tensors.get(slot);
    PtNDArray queries = script.run(whole.getManager(), "leading_rows", whole, rows);
    owner.accept(queries);
    tensors.set(slot, queries);
    return tensors;
  }

  /** Ints of each layer where nothing but the model sets windows. */
  public ScriptNumbers numbers() {
    return numbers;
  }

  /** The same under a plan; the caller closes them unless they are {@link #numbers()}. */
  public ScriptNumbers numbers(Plan plan) {
    return plan.isPlain() ? numbers : new ScriptNumbers(blocks(), rotaryKinds, plan);
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
    if (offloaded != null) {
      offloaded.forget(list);
    }
    list.close();
  }
}
