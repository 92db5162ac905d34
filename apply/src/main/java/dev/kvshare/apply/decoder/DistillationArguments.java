package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.GradientCall;
import dev.kvshare.apply.decoder.script.LayerArguments;
import dev.kvshare.apply.decoder.script.LayerNumbers;
import dev.kvshare.apply.decoder.script.ScriptArguments;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.ReplaceableWeights;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * The layers from the first reduced one on as {@code distil.py} takes them: nothing but tensors,
 * copied so that gradients can pass.
 */
final class DistillationArguments {
  private static final int HEAD_TOKENS = 256;
  private static final long ALL_ROWS = 0;

  private final ScriptModule script;
  private final PtNDManager manager;
  private final SharingMap map;
  private final int firstLayer;
  private final ComputeType products;
  private final List<RotarySpec> rotaryKinds;
  private final List<PtNDArray> weights = new ArrayList<>();
  private final List<PtNDArray> model = new ArrayList<>();
  private final List<PtNDArray> numbers;
  private final PtNDArray floats;
  private final PtNDArray modelFloats;

  /**
   * @param manager owns the tensors
   * @param roles the matrices that are trained
   * @param trained gets them and their biases
   */
  DistillationArguments(
      KvCache.Storage storage,
      ScriptModule script,
      PtNDManager manager,
      CacheOptions options,
      Set<WeightRole> roles,
      TrainedWeights trained) {
    this.script = script;
    this.manager = manager;
    Plan plan = options.plan();
    this.map = options.map();
    this.firstLayer =
        IntStream.range(0, map.layers()).filter(plan::isReduced).findFirst().orElseThrow();
    this.products =
        script.packs(manager, ComputeType.BFLOAT16) ? ComputeType.BFLOAT16 : ComputeType.FLOAT32;
    ScriptArguments all = storage.arguments();
    this.rotaryKinds = all.rotaryKinds();
    LayerArguments layers = options.overrides().layers();
    long[] places =
        addLayers(layers.layers(), roles, ReplaceableWeights.of(storage.spec()), trained);
    addModel(all.modelTensors());
    try (LayerNumbers ofPlan = all.numbers(layers, plan)) {
      this.numbers =
          List.of(
              longs(rows(ofPlan.ints(), firstLayer)),
              longs(rows(ofPlan.kinds(), 0)),
              longs(sources()),
              longs(places),
              longs(all.modelInts().toLongArray()),
              longs(products.scriptCode(), HEAD_TOKENS));
    }
    this.floats = layerFloats(all.floats());
    this.modelFloats = doubles(manager, all.modelFloats().toDoubleArray());
  }

  /** The first layer that shares or is windowed. */
  int firstLayer() {
    return firstLayer;
  }

  /** The layers below the first reduced one which some layer reads. */
  List<Integer> lowerOwners() {
    return IntStream.range(firstLayer, map.layers())
        .map(map::source)
        .filter(source -> source < firstLayer)
        .sorted()
        .distinct()
        .boxed()
        .toList();
  }

  /** All tensors of the layers; those that are trained are left out here by empty ones. */
  List<PtNDArray> weights() {
    return weights;
  }

  /** Tensors outside the layers; the embedding is left out. */
  List<PtNDArray> model() {
    return model;
  }

  /** For each kind of rotary embedding its table; an empty one where there is none. */
  List<PtNDArray> tables(PtNDManager scratch, Function<RotarySpec, PtNDArray> table) {
    return rotaryKinds.isEmpty()
        ? List.of(none(scratch))
        : rotaryKinds.stream().map(table).toList();
  }

  /** The ints. */
  List<PtNDArray> numbers() {
    return numbers;
  }

  /** The floats and what the loss is multiplied by. */
  List<PtNDArray> fractions(PtNDManager scratch, double scale) {
    return List.of(floats, modelFloats, doubles(scratch, scale));
  }

  /** An empty tensor. */
  PtNDArray none(PtNDManager owner) {
    return owner.create(new Shape(0), DataType.FLOAT32);
  }

  private long[] addLayers(
      List<LayerArguments.Layer> layers,
      Set<WeightRole> roles,
      ReplaceableWeights replaceable,
      TrainedWeights trained) {
    List<Long> places = new ArrayList<>();
    for (int number = firstLayer; number < layers.size(); number++) {
      LayerArguments.Layer layer = layers.get(number);
      for (WeightRole role : ScriptArguments.LAYER_ROLES) {
        boolean trainedHere =
            layer.block().weights().containsKey(role)
                && roles.stream().anyMatch(matrix -> role == matrix || role == matrix.bias())
                && !replaceable.names(number, role).isEmpty();
        PtNDArray tensor = layer.tensor(role);
        if (trainedHere) {
          places.add((long) weights.size());
          long rows = usedRows(number, layer, role);
          trained.add(number, role, copy(tensor, rows, ComputeType.FLOAT32), rest(tensor, rows));
          weights.add(none(manager));
        } else {
          weights.add(copy(tensor, usedRows(number, layer, role), type(role)));
        }
      }
    }
    return places.stream().mapToLong(Long::longValue).toArray();
  }

  /** A layer that shares has the rows of the queries alone. */
  private long usedRows(int number, LayerArguments.Layer layer, WeightRole role) {
    if (map.ownsCache(number)
        || !layer.block().weights().containsKey(role)
        || (role != WeightRole.QUERY_KEY_VALUE && role != WeightRole.QUERY_KEY_VALUE_BIAS)) {
      return ALL_ROWS;
    }
    AttentionSpec attention = layer.block().attention();
    return (long) attention.queryHeads() * attention.headSize();
  }

  private PtNDArray rest(PtNDArray tensor, long rows) {
    if (rows == ALL_ROWS) {
      return null;
    }
    try (PtNDArray plain = copy(tensor, ALL_ROWS, ComputeType.FLOAT32);
        NDArray view = plain.get(rows + ":")) {
      return (PtNDArray) view.duplicate();
    }
  }

  private ComputeType type(WeightRole role) {
    return ScriptArguments.PRODUCTS.contains(role) ? products : ComputeType.FLOAT32;
  }

  private void addModel(List<PtNDArray> tensors) {
    for (int index = 0; index < tensors.size(); index++) {
      WeightRole role = ScriptArguments.MODEL_ROLES.get(index);
      model.add(
          role == WeightRole.EMBEDDING || role == WeightRole.POSITIONS
              ? none(manager)
              : copy(tensors.get(index), ALL_ROWS, type(role)));
    }
  }

  private PtNDArray copy(PtNDArray tensor, long rows, ComputeType type) {
    try (PtNDManager scratch = (PtNDManager) manager.newSubManager();
        PtNDArray count = longs(rows);
        PtNDArray code = longs(type.scriptCode())) {
      GradientCall call = new GradientCall(scratch, "leading_copy");
      return script.run(manager, call.with(tensor).with(count).with(code));
    }
  }

  /** For each layer the one that it reads, counted from the first; -1 - n for the nth below. */
  private long[] sources() {
    List<Integer> below = lowerOwners();
    return IntStream.range(firstLayer, map.layers())
        .map(map::source)
        .mapToLong(source -> source < firstLayer ? -1 - below.indexOf(source) : source - firstLayer)
        .toArray();
  }

  private PtNDArray layerFloats(IValue perLayer) {
    double[][] rows =
        Arrays.stream(perLayer.toIValueArray())
            .skip(firstLayer)
            .map(DistillationArguments::doubleRow)
            .toArray(double[][]::new);
    return (PtNDArray)
        doubles(manager, Arrays.stream(rows).flatMapToDouble(Arrays::stream).toArray())
            .reshape(rows.length, rows[0].length);
  }

  private static double[] doubleRow(IValue list) {
    try (list) {
      return list.toDoubleArray();
    }
  }

  private static long[][] rows(IValue lists, int from) {
    long[][] rows =
        Arrays.stream(lists.toIValueArray())
            .map(
                list -> {
                  try (list) {
                    return list.toLongArray();
                  }
                })
            .toArray(long[][]::new);
    return Arrays.copyOfRange(rows, from, rows.length);
  }

  private PtNDArray longs(long[][] rows) {
    try (NDArray flat = longs(Arrays.stream(rows).flatMapToLong(Arrays::stream).toArray())) {
      return (PtNDArray) flat.reshape(rows.length, rows[0].length).duplicate();
    }
  }

  private PtNDArray longs(long... values) {
    return (PtNDArray) manager.create(values);
  }

  private static PtNDArray doubles(PtNDManager owner, double... values) {
    return (PtNDArray) owner.create(values);
  }
}
