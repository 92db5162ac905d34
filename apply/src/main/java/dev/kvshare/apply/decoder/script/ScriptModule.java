package dev.kvshare.apply.decoder.script;

import ai.djl.Device;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.engine.PtSymbolBlock;
import ai.djl.pytorch.jni.IValue;
import ai.djl.pytorch.jni.IValueUtils;
import ai.djl.pytorch.jni.JniUtils;
import dev.kvshare.apply.decoder.ComputeType;
import dev.kvshare.apply.decoder.PyTorchRuntime;
import dev.kvshare.apply.decoder.weights.WeightForm;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * A TorchScript source, {@code decoder.py} or another resource beside it, packed in memory into an
 * archive that the engine loads. The archive holds a module {@code Ops} without attributes:
 *
 * <pre>
 * archive/data.pkl              protocol 2: an object of class __torch__.Ops with {training: False}
 * archive/code/__torch__.py     the source text
 * archive/constants.pkl         protocol 2: the empty tuple
 * archive/version               format version; decides which operator signatures the source means
 * </pre>
 *
 * <p>On the CPU matrix products go to oneDNN, where libtorch was built with it.
 */
public final class ScriptModule implements AutoCloseable {
  private static final String ONEDNN_PRODUCT = "product_onednn.py";
  private static final String PLAIN_PRODUCT = "product_plain.py";
  private static final String FORMAT_VERSION = "10\n";
  private static final byte[] OBJECT =
      bytes("\u0080\u0002c__torch__\nOps\n)\u0081}(X\u0008\u0000\u0000\u0000training\u0089ub.");
  private static final byte[] EMPTY_TUPLE = bytes("\u0080\u0002).");

  private final PtSymbolBlock block;
  private final PtNDArray onDevice;

  /**
   * Loads a source onto the device of {@code manager}.
   *
   * @param sources the names of the resources, which together are one source
   */
  public ScriptModule(PtNDManager manager, String... sources) {
    block = load(manager, List.of(sources));
    onDevice = manager.create(new Shape(0), DataType.FLOAT32);
  }

  private static PtSymbolBlock load(PtNDManager manager, List<String> sources) {
    if (manager.getDevice().equals(Device.cpu())) {
      try {
        return load(manager, sources, ONEDNN_PRODUCT);
      } catch (EngineException withoutOneDnn) {
        return load(manager, sources, PLAIN_PRODUCT);
      }
    }
    return load(manager, sources, PLAIN_PRODUCT);
  }

  private static PtSymbolBlock load(PtNDManager manager, List<String> sources, String product) {
    try (InputStream archive = new ByteArrayInputStream(archive(sources, product))) {
      return JniUtils.loadModule(manager, archive, false, false);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Runs a method that returns one tensor.
   *
   * @param manager owns the result
   */
  public PtNDArray run(PtNDManager manager, String method, IValue... arguments) {
    try (IValue result = call(method, arguments)) {
      return result.toTensor(manager);
    }
  }

  /** {@code tensor} in another type, a copy that belongs to {@code manager}. */
  public PtNDArray convert(PtNDManager manager, PtNDArray tensor, ComputeType type) {
    try (IValue input = IValue.from(tensor);
        IValue code = IValue.from(type.scriptCode())) {
      return run(manager, "convert", input, code);
    }
  }

  /** Makes the form of a weight [out, in] for products; null where it is best as it is. */
  public UnaryOperator<PtNDArray> productForm(
      PtNDManager manager, ComputeType type, WeightForm form) {
    if (form == WeightForm.INT8) {
      return this::toInt8;
    }
    return packs(manager, type) ? this::pack : null;
  }

  public boolean packs(PtNDManager manager, ComputeType type) {
    try (IValue code = IValue.from(type.scriptCode());
        PtNDArray able = run(manager, "packs", code)) {
      return able.size() > 0;
    }
  }

  /** The list of tensors that every call is passed in place of these. */
  public IValue passed(List<PtNDArray> tensors) {
    try (IValue list = IValue.listFrom(tensors.toArray(PtNDArray[]::new))) {
      return call("passed", list);
    }
  }

  /** Puts the tensors of another list of the same length into {@code list}. */
  public void replace(IValue list, IValue tensors) {
    call("replace", list, tensors).close();
  }

  /** Puts {@code absent} into every place of {@code list}. */
  public void clear(IValue list, PtNDArray absent) {
    try (IValue nothing = IValue.from(absent)) {
      call("clear_list", list, nothing).close();
    }
  }

  /** A copy of {@code weight} [out, in] that is packed for products. */
  private PtNDArray pack(PtNDArray weight) {
    return ofWeight("pack", weight);
  }

  /** {@code weight} [out, in] as integers with a scale for each row, in one int8 tensor. */
  private PtNDArray toInt8(PtNDArray weight) {
    return ofWeight("int8_weight", weight);
  }

  private PtNDArray ofWeight(String method, PtNDArray weight) {
    try (IValue input = IValue.from(weight)) {
      return run(weight.getManager(), method, input);
    }
  }

  /** The first rows of {@code weight}, packed if it is, else a view. */
  PtNDArray leadingRows(PtNDArray weight, long rows) {
    try (IValue input = IValue.from(weight);
        IValue count = IValue.from(rows)) {
      return run(weight.getManager(), "leading_rows", input, count);
    }
  }

  /** Zeros on the device of the module. The engine's Java side has no bfloat16, the script has. */
  public PtNDArray zeros(PtNDManager manager, Shape shape, ComputeType type) {
    return zeros(manager, shape, type.scriptCode());
  }

  /** Zeros of any type by PyTorch's number for it. */
  public PtNDArray zeros(PtNDManager manager, Shape shape, long typeCode) {
    try (IValue sizes = IValue.listFrom(shape.getShape());
        IValue code = IValue.from(typeCode);
        IValue like = IValue.from(onDevice)) {
      return run(manager, "zeros", sizes, code, like);
    }
  }

  /**
   * The first {@code count} slots of {@code tensor} [B, Hkv, N, ...] and room: [B, Hkv, slots,
   * ...].
   */
  public PtNDArray grown(PtNDManager manager, PtNDArray tensor, int count, int slots) {
    try (IValue input = IValue.from(tensor);
        IValue kept = IValue.from((long) count);
        IValue capacity = IValue.from((long) slots)) {
      return run(manager, "grown", input, kept, capacity);
    }
  }

  /**
   * The chosen slots [B, Hkv, n] of {@code tensor} [B, Hkv, N, ...] and room: [B, Hkv, slots, ...].
   */
  public PtNDArray pick(PtNDManager manager, PtNDArray tensor, PtNDArray chosen, int slots) {
    try (IValue input = IValue.from(tensor);
        IValue index = IValue.from(chosen);
        IValue capacity = IValue.from((long) slots)) {
      return run(manager, "pick", input, index, capacity);
    }
  }

  /** Memory on the CPU, not initialised. */
  public PtNDArray emptyOnCpu(PtNDManager manager, Shape shape, ComputeType type) {
    try (IValue sizes = IValue.listFrom(shape.getShape());
        IValue code = IValue.from(type.scriptCode())) {
      return run(manager, "empty_on_cpu", sizes, code);
    }
  }

  /** A copy of {@code tensor} on the device of the module. */
  public PtNDArray toDevice(PtNDManager manager, PtNDArray tensor) {
    try (IValue input = IValue.from(tensor);
        IValue like = IValue.from(onDevice)) {
      return run(manager, "to_device", input, like);
    }
  }

  /** Zeros in {@code target} [B, Hkv, capacity, D] at {@code tokens} positions from start on. */
  public void clear(PtNDArray target, int start, int tokens) {
    runForEffect(
        "clear", IValue.from(target), IValue.from((long) start), IValue.from((long) tokens));
  }

  /** Copies {@code source} over {@code target}, both of the same shape. */
  public void assign(PtNDArray target, PtNDArray source) {
    runForEffect("assign", IValue.from(target), IValue.from(source));
  }

  /** Copies the transposed {@code source} [in, out] over {@code target} [out, in]. */
  public void assignTransposed(PtNDArray target, PtNDArray source) {
    runForEffect("assign_transposed", IValue.from(target), IValue.from(source));
  }

  /**
   * Copies {@code source}, stored group by group as {@code queries} query heads, a key head and a
   * value head, over {@code target}, which has all queries, then all keys, then all values.
   */
  public void assignUngrouped(PtNDArray target, PtNDArray source, long groups, long queries) {
    runForEffect(
        "assign_ungrouped",
        IValue.from(target),
        IValue.from(source),
        IValue.from(groups),
        IValue.from(queries));
  }

  @Override
  public void close() {
    onDevice.close();
    block.close();
  }

  private IValue call(String method, IValue... arguments) {
    PyTorchRuntime.keepThreads();
    return IValueUtils.runMethod(block, method, arguments);
  }

  private void runForEffect(String method, IValue... arguments) {
    call(method, arguments).close();
    for (IValue argument : arguments) {
      argument.close();
    }
  }

  private static byte[] archive(List<String> sources, String product) throws IOException {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    for (String source : sources) {
      append(source, text);
    }
    append(product, text);
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      put(zip, "archive/data.pkl", OBJECT);
      put(zip, "archive/code/__torch__.py", text.toByteArray());
      put(zip, "archive/constants.pkl", EMPTY_TUPLE);
      put(zip, "archive/version", bytes(FORMAT_VERSION));
    }
    return bytes.toByteArray();
  }

  private static void append(String source, ByteArrayOutputStream text) throws IOException {
    try (InputStream resource =
        ScriptModule.class.getResourceAsStream("/dev/kvshare/apply/decoder/" + source)) {
      resource.transferTo(text);
    }
  }

  private static void put(ZipOutputStream zip, String name, byte[] content) throws IOException {
    zip.putNextEntry(new ZipEntry(name));
    zip.write(content);
    zip.closeEntry();
  }

  private static byte[] bytes(String latin1) {
    return latin1.getBytes(StandardCharsets.ISO_8859_1);
  }
}
