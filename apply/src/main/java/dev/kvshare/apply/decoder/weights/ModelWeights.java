package dev.kvshare.apply.decoder.weights;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.script.ScriptNumbers;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;

/**
 * The weights of a model as {@code decoder.py} takes them: for each layer a list of tensors in the
 * order in which the script unpacks them, and the same for what stands outside the layers. Made
 * once, passed to every call. Where weights come into memory one layer at a time, a call has to
 * {@link LayerWeights#enter} the layers that it runs.
 */
public final class ModelWeights implements AutoCloseable {
  /** The order of a layer's tensors. */
  static final List<WeightRole> LAYER_ROLES =
      List.of(
          WeightRole.ATTENTION_NORM,
          WeightRole.ATTENTION_NORM_BIAS,
          WeightRole.QUERY_KEY_VALUE,
          WeightRole.QUERY_KEY_VALUE_BIAS,
          WeightRole.QUERY_NORM,
          WeightRole.KEY_NORM,
          WeightRole.OUTPUT,
          WeightRole.OUTPUT_BIAS,
          WeightRole.ATTENTION_POST_NORM,
          WeightRole.ATTENTION_POST_NORM_BIAS,
          WeightRole.FEED_FORWARD_NORM,
          WeightRole.FEED_FORWARD_NORM_BIAS,
          WeightRole.GATE_UP,
          WeightRole.GATE_UP_BIAS,
          WeightRole.DOWN,
          WeightRole.DOWN_BIAS,
          WeightRole.FEED_FORWARD_POST_NORM,
          WeightRole.FEED_FORWARD_POST_NORM_BIAS,
          WeightRole.ROUTER);

  /** Matrices that rows of states are multiplied with. */
  private static final Set<WeightRole> PRODUCTS =
      EnumSet.of(
          WeightRole.QUERY_KEY_VALUE,
          WeightRole.OUTPUT,
          WeightRole.GATE_UP,
          WeightRole.DOWN,
          WeightRole.HEAD);

  /** The order of the tensors outside the layers. */
  private static final List<WeightRole> MODEL_ROLES =
      List.of(
          WeightRole.EMBEDDING,
          WeightRole.EMBEDDING_PROJECTION,
          WeightRole.POSITIONS,
          WeightRole.FINAL_NORM,
          WeightRole.FINAL_NORM_BIAS,
          WeightRole.HEAD_PROJECTION,
          WeightRole.HEAD,
          WeightRole.HEAD_BIAS);

  private static final int EMBEDDING = MODEL_ROLES.indexOf(WeightRole.EMBEDDING);
  private static final int HEAD = MODEL_ROLES.indexOf(WeightRole.HEAD);

  /** What is not in memory from the start where not all weights are. */
  private static final Set<WeightRole> ON_DEMAND =
      EnumSet.of(WeightRole.EMBEDDING, WeightRole.HEAD);

  /**
   * Tokens with the rows of an embedding that they name, where the whole of it is not in memory.
   *
   * @param rows for each token the number of its row among those in memory, int64 [B, T]
   * @param outer as {@link #outer()}, with these rows as the embedding
   */
  public record EmbeddedTokens(PtNDArray rows, List<IValue> outer) implements AutoCloseable {
    @Override
    public void close() {
      outer.get(0).close();
      rows.getManager().close();
    }
  }

  private final ModelSpec spec;
  private final ScriptModule script;
  private final WeightLoader loader;
  private final UnaryOperator<PtNDArray> product;
  private final PtNDArray absent;
  private final List<RotarySpec> rotaryKinds;
  private final OffloadedWeights offloaded;
  private long layerTokens;
  private final List<PtNDArray> modelTensors;
  private final IValue model;
  private final IValue modelWithHead;
  private final IValue modelInts;
  private final IValue modelFloats;
  private final LayerWeights layers;

  /**
   * Loads the weights of a model that are to be in memory from the start.
   *
   * @param product makes the form of a matrix [out, in] that states are multiplied with; null to
   *     keep matrices as they are loaded
   * @param all whether all weights are in memory, or one layer at a time
   */
  public ModelWeights(
      ModelSpec spec,
      WeightLoader loader,
      PtNDManager manager,
      ScriptModule script,
      UnaryOperator<PtNDArray> product,
      boolean all) {
    this.spec = spec;
    this.script = script;
    this.loader = loader;
    this.product = product;
    this.absent = manager.create(new Shape(0), DataType.FLOAT32);
    this.rotaryKinds =
        spec.blocks().stream()
            .map(block -> block.attention().rotary())
            .filter(rotary -> rotary != null)
            .distinct()
            .toList();

    this.offloaded = all ? null : new OffloadedWeights(script, manager, absent, this::read);
    Map<WeightRole, WeightSpec> kept = new EnumMap<>(spec.weights());
    if (!all) {
      kept.keySet().removeAll(ON_DEMAND);
    }
    List<PtNDArray> outer = tensors(loader, MODEL_ROLES, kept, spec.finalNorm());
    if (all && spec.tiedHead()) {
      // The embedding stays as it is: it is looked up by row.
      PtNDArray embedding = outer.get(EMBEDDING);
      outer.set(HEAD, product == null ? embedding : product.apply(embedding));
    }
    this.modelTensors = List.copyOf(outer);
    this.model = script.passed(outer);
    this.modelWithHead = all ? model : offloaded.newList(MODEL_ROLES.size());
    this.modelInts = ScriptNumbers.modelInts(spec);
    this.modelFloats = ScriptNumbers.modelFloats(spec);

    List<LayerWeights.Layer> described = new ArrayList<>();
    for (BlockSpec block : spec.blocks()) {
      described.add(new LayerWeights.Layer(block, source(block, described.size())));
    }
    this.layers = new LayerWeights(described, rotaryKinds, script, offloaded);
  }

  ScriptModule script() {
    return script;
  }

  /** What the weights are of. */
  public ModelSpec spec() {
    return spec;
  }

  /**
   * A weight of a layer as the checkpoint has it: float32, a copy that belongs to {@code target}.
   */
  public PtNDArray weight(int layer, WeightRole role, PtNDManager target) {
    return script.convert(target, layers.layers().get(layer).tensor(role), ComputeType.FLOAT32);
  }

  /** The distinct rotary embeddings, in the order of their numbers; empty when there is none. */
  public List<RotarySpec> rotaryKinds() {
    return rotaryKinds;
  }

  /**
   * Tensors, ints and floats outside the layers, for calls that use neither the embedding nor the
   * output head.
   */
  public List<IValue> outer() {
    return outer(model);
  }

  /** The same with the output head, which this brings into memory where it is not. */
  public List<IValue> outerWithHead() {
    if (offloaded != null) {
      int head = spec.layers();
      offloaded.fill(head, modelWithHead, () -> offloaded.tensors(head));
    }
    return outer(modelWithHead);
  }

  /**
   * The tensors outside the layers, as far as they follow these, in the order of {@code
   * decoder.py}; where the head is not in memory, it is read.
   *
   * @param none in place of the embedding and the learned positions
   */
  public List<PtNDArray> headTensors(PtNDArray none) {
    List<PtNDArray> tensors =
        new ArrayList<>(offloaded == null ? modelTensors : offloaded.tensors(spec.layers()));
    tensors.set(EMBEDDING, none);
    tensors.set(MODEL_ROLES.indexOf(WeightRole.POSITIONS), none);
    return tensors;
  }

  private List<IValue> outer(IValue tensors) {
    return List.of(tensors, modelInts, modelFloats);
  }

  /** Whether calls have to bring the layers that they run into memory. */
  public boolean isOffloaded() {
    return offloaded != null;
  }

  /** Layers that were read from the checkpoint again and again; the output head counts as one. */
  public long layerReads() {
    return offloaded == null ? 0 : offloaded.reads();
  }

  /** Counts tokens of all rows that run through so many layers. */
  public void countRun(long tokens, int layers) {
    layerTokens += tokens * layers;
  }

  /** Tokens of all rows times layers that ran so far. */
  public long layerTokens() {
    return layerTokens;
  }

  /**
   * Tokens with the rows of the embedding that they name; only where not all weights are in memory.
   *
   * @param ids int64 [B, T]
   */
  public EmbeddedTokens embedding(PtNDArray ids) {
    PtNDManager manager = (PtNDManager) ids.getManager().newSubManager();
    try {
      long[] tokens = ids.toLongArray();
      int[] named = Arrays.stream(tokens).mapToInt(Math::toIntExact).sorted().distinct().toArray();
      for (int i = 0; i < tokens.length; i++) {
        tokens[i] = Arrays.binarySearch(named, Math.toIntExact(tokens[i]));
      }
      List<PtNDArray> tensors = new ArrayList<>(modelTensors);
      WeightSpec embedding = spec.weights().get(WeightRole.EMBEDDING);
      tensors.set(EMBEDDING, loader.into(manager).rows(embedding, named));
      PtNDArray rows = (PtNDArray) manager.create(tokens, ids.getShape());
      return new EmbeddedTokens(rows, outer(script.passed(tensors)));
    } catch (RuntimeException | Error e) {
      manager.close();
      throw e;
    }
  }

  /** Tensors and ints of each layer, as the checkpoint has them. */
  public LayerWeights layers() {
    return layers;
  }

  /** The same with layers replaced. */
  LayerWeights with(List<LayerWeights.Layer> replaced) {
    return new LayerWeights(replaced, rotaryKinds, script, offloaded);
  }

  @Override
  public void close() {
    layers.close();
    if (offloaded != null) {
      offloaded.close();
      modelWithHead.close();
    }
    for (IValue value : List.of(model, modelInts, modelFloats)) {
      value.close();
    }
  }

  /** Experts stand where a dense layer's projections do. */
  private static Map<WeightRole, WeightSpec> withExperts(BlockSpec block) {
    if (block.feedForward().experts() == null) {
      return block.weights();
    }
    Map<WeightRole, WeightSpec> weights = new EnumMap<>(block.weights());
    weights.put(WeightRole.GATE_UP, weights.remove(WeightRole.EXPERTS_GATE_UP));
    weights.put(WeightRole.DOWN, weights.remove(WeightRole.EXPERTS_DOWN));
    return weights;
  }

  private Supplier<List<PtNDArray>> source(BlockSpec block, int number) {
    if (offloaded != null) {
      return () -> offloaded.tensors(number);
    }
    List<PtNDArray> tensors = layerTensors(loader, block);
    return () -> tensors;
  }

  /**
   * A group of offloaded weights: a layer, or behind the layers what stands outside, with the head.
   */
  private List<PtNDArray> read(int group, PtNDManager owner) {
    WeightLoader into = loader.into(owner);
    if (group < spec.layers()) {
      return layerTensors(into, spec.blocks().get(group));
    }
    List<PtNDArray> outer = new ArrayList<>(modelTensors);
    outer.set(HEAD, head(into));
    return outer;
  }

  private List<PtNDArray> layerTensors(WeightLoader from, BlockSpec block) {
    return tensors(from, LAYER_ROLES, withExperts(block), block.norm());
  }

  private PtNDArray head(WeightLoader from) {
    WeightRole stored = spec.tiedHead() ? WeightRole.EMBEDDING : WeightRole.HEAD;
    return asProduct(WeightRole.HEAD, from.load(spec.weights().get(stored)), spec.weights());
  }

  private List<PtNDArray> tensors(
      WeightLoader from, List<WeightRole> roles, Map<WeightRole, WeightSpec> specs, NormSpec norm) {
    List<PtNDArray> tensors = new ArrayList<>();
    for (WeightRole role : roles) {
      WeightSpec spec = specs.get(role);
      PtNDArray tensor = spec == null ? absent : from.load(spec);
      if (spec != null && role.scalesNorm() && norm.kind() == NormSpec.Kind.RMS_ONE_PLUS) {
        try (PtNDArray stored = tensor) {
          tensor = stored.add(1);
        }
      }
      tensors.add(spec == null ? tensor : asProduct(role, tensor, specs));
    }
    return tensors;
  }

  /**
   * A matrix that states are multiplied with in the form that this model has them in, everything
   * else as it is. Experts stay as they are: their rows are taken one expert at a time.
   *
   * @param tensor closed where another takes its place
   * @param specs all weights beside it
   */
  PtNDArray asProduct(WeightRole role, PtNDArray tensor, Map<WeightRole, WeightSpec> specs) {
    if (product == null || !PRODUCTS.contains(role) || isOfExperts(role, specs)) {
      return tensor;
    }
    try (tensor) {
      return product.apply(tensor);
    }
  }

  private static boolean isOfExperts(WeightRole role, Map<WeightRole, WeightSpec> specs) {
    return specs.containsKey(WeightRole.ROUTER)
        && (role == WeightRole.GATE_UP || role == WeightRole.DOWN);
  }
}
