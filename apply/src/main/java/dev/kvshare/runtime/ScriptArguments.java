package dev.kvshare.runtime;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.model.family.BlockSpec;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.model.family.NormSpec;
import dev.kvshare.model.family.RotarySpec;
import dev.kvshare.model.family.WeightRole;
import dev.kvshare.model.family.WeightSpec;
import dev.kvshare.policy.SharingPlan;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * A model as {@code decoder.py} takes it: for each layer a list of tensors, of ints and of floats
 * in the order in which the script unpacks them, and the same for what stands outside the layers.
 * Made once, passed to every call.
 */
final class ScriptArguments implements AutoCloseable {
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
  static final Set<WeightRole> PRODUCTS =
      EnumSet.of(
          WeightRole.QUERY_KEY_VALUE,
          WeightRole.OUTPUT,
          WeightRole.GATE_UP,
          WeightRole.DOWN,
          WeightRole.HEAD);

  static final List<WeightRole> MODEL_ROLES =
      List.of(
          WeightRole.EMBEDDING,
          WeightRole.EMBEDDING_PROJECTION,
          WeightRole.POSITIONS,
          WeightRole.FINAL_NORM,
          WeightRole.FINAL_NORM_BIAS,
          WeightRole.HEAD_PROJECTION,
          WeightRole.HEAD,
          WeightRole.HEAD_BIAS);

  private final ScriptModule script;
  private final WeightLoader loader;
  private final UnaryOperator<PtNDArray> product;
  private final PtNDArray absent;
  private final List<RotarySpec> rotaryKinds;
  private final List<PtNDArray> modelTensors;
  private final IValue model;
  private final IValue modelInts;
  private final IValue modelFloats;
  private final LayerArguments layers;
  private final IValue floats;

  /**
   * Loads all weights of a model.
   *
   * @param product makes the form of a matrix [out, in] that states are multiplied with; null to
   *     keep matrices as they are loaded
   */
  ScriptArguments(
      ModelSpec spec,
      WeightLoader loader,
      PtNDManager manager,
      ScriptModule script,
      UnaryOperator<PtNDArray> product) {
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

    List<PtNDArray> outer = tensors(MODEL_ROLES, spec.weights(), spec.finalNorm());
    if (spec.tiedHead()) {
      // The embedding stays as it is: it is looked up by row.
      PtNDArray head = product == null ? outer.get(0) : product.apply(outer.get(0));
      outer.set(MODEL_ROLES.indexOf(WeightRole.HEAD), head);
    }
    this.modelTensors = List.copyOf(outer);
    this.model = script.passed(outer);
    this.modelInts =
        IValue.listFrom(
            flag(spec.finalNorm() != null),
            ScriptCodes.of(
                spec.finalNorm(), spec.weights().containsKey(WeightRole.FINAL_NORM_BIAS)),
            flag(spec.weights().containsKey(WeightRole.HEAD_BIAS)),
            spec.positionOffset());
    this.modelFloats =
        IValue.listFrom(
            spec.finalNorm() == null ? 0 : spec.finalNorm().epsilon(),
            spec.embeddingScale(),
            spec.logitScale(),
            spec.logitSoftCap());

    List<LayerArguments.Layer> loaded = new ArrayList<>();
    for (BlockSpec block : spec.blocks()) {
      loaded.add(
          new LayerArguments.Layer(block, tensors(LAYER_ROLES, withExperts(block), block.norm())));
    }
    this.layers = new LayerArguments(loaded, rotaryKinds, script);
    this.floats = LayerArguments.nested(spec.blocks(), ScriptArguments::floats);
  }

  /** The distinct rotary embeddings, in the order of their numbers; empty when there is none. */
  List<RotarySpec> rotaryKinds() {
    return rotaryKinds;
  }

  /** Tensors outside the layers, in the order of {@link #MODEL_ROLES}. */
  List<PtNDArray> modelTensors() {
    return modelTensors;
  }

  /** The same as every call takes them. */
  IValue model() {
    return model;
  }

  /** Ints outside the layers. */
  IValue modelInts() {
    return modelInts;
  }

  /** Floats outside the layers. */
  IValue modelFloats() {
    return modelFloats;
  }

  /** Tensors and ints of each layer, as the checkpoint has them. */
  LayerArguments layers() {
    return layers;
  }

  /** The same with layers replaced. */
  LayerArguments with(List<LayerArguments.Layer> replaced) {
    return new LayerArguments(replaced, rotaryKinds, script);
  }

  /** The ints of layers under a plan that changes them. */
  LayerNumbers numbers(LayerArguments of, SharingPlan plan) {
    return new LayerNumbers(of.blocks(), rotaryKinds, plan);
  }

  /** Floats of each layer. */
  IValue floats() {
    return floats;
  }

  @Override
  public void close() {
    layers.close();
    for (IValue value : List.of(model, modelInts, modelFloats, floats)) {
      value.close();
    }
  }

  private static IValue floats(BlockSpec block) {
    return IValue.listFrom(
        block.norm().epsilon(),
        block.attention().scale(),
        block.attention().softCap(),
        block.residualScale());
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

  private List<PtNDArray> tensors(
      List<WeightRole> roles, Map<WeightRole, WeightSpec> specs, NormSpec norm) {
    List<PtNDArray> tensors = new ArrayList<>();
    for (WeightRole role : roles) {
      WeightSpec spec = specs.get(role);
      PtNDArray tensor = spec == null ? absent : loader.load(spec);
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

  static long flag(boolean value) {
    return value ? 1 : 0;
  }
}
