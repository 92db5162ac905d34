package dev.kvshare.apply.decoder.script;

import ai.djl.Device;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.engine.PtSymbolBlock;
import ai.djl.pytorch.jni.IValue;
import ai.djl.pytorch.jni.IValueUtils;
import ai.djl.pytorch.jni.JniUtils;
import dev.kvshare.apply.family.spec.WeightSpec;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The TorchScript source {@code decoder.py}, with further ones behind it, packed in memory into an
 * archive that the engine loads. The archive holds a module {@code Ops} without attributes:
 *
 * <pre>
 * archive/data.pkl              protocol 2: an object of class __torch__.Ops with {training: False}
 * archive/code/__torch__.py     the source text
 * archive/constants.pkl         protocol 2: the empty tuple
 * archive/version               format version; decides which operator signatures the source means
 * </pre>
 *
 * <p>On the CPU matrix products go to oneDNN. Where libtorch was built without it, they take a
 * slower way; any other failure to load is thrown.
 */
public final class ScriptModule implements AutoCloseable {
  private static final Logger LOGGER = LoggerFactory.getLogger(ScriptModule.class);
  private static final String FOLDER = "/dev/kvshare/apply/decoder/";
  private static final String ONEDNN_PRODUCT = FOLDER + "product_onednn.py";
  private static final String MIXED_PRODUCT = FOLDER + "product_mixed.py";
  private static final String PLAIN_PRODUCT = FOLDER + "product_plain.py";

  /** How TorchScript names an operator of oneDNN that a libtorch lacks. */
  private static final String NO_ONEDNN = "Unknown builtin op: mkldnn::";

  private static final String FORMAT_VERSION = "10\n";
  private static final byte[] OBJECT =
      bytes("\u0080\u0002c__torch__\nOps\n)\u0081}(X\u0008\u0000\u0000\u0000training\u0089ub.");
  private static final byte[] EMPTY_TUPLE = bytes("\u0080\u0002).");

  private final PtSymbolBlock block;
  private final PtNDArray onDevice;

  /**
   * Loads {@code decoder.py} and more onto the device of {@code manager}.
   *
   * @param beside the class beside which the further sources are resources
   * @param sources their names; their methods may call those of {@code decoder.py}
   */
  public ScriptModule(PtNDManager manager, Class<?> beside, String... sources) {
    this(
        manager,
        manager.getDevice().equals(Device.cpu()) ? ONEDNN_PRODUCT : PLAIN_PRODUCT,
        beside,
        sources);
  }

  /**
   * As the constructor with {@code gradients.py}, and with products that gradients pass through.
   */
  public static ScriptModule differentiable(PtNDManager manager, Class<?> beside, String source) {
    boolean cpu = manager.getDevice().equals(Device.cpu());
    return new ScriptModule(
        manager, cpu ? MIXED_PRODUCT : PLAIN_PRODUCT, beside, FOLDER + "gradients.py", source);
  }

  /**
   * @param product the resource with the method {@code product} to begin with
   */
  ScriptModule(PtNDManager manager, String product, Class<?> beside, String... sources) {
    ByteArrayOutputStream source = new ByteArrayOutputStream();
    append(ScriptModule.class, FOLDER + "decoder.py", source);
    for (String name : sources) {
      append(beside, name, source);
    }
    this.block = load(manager, source, product);
    this.onDevice = manager.create(new Shape(0), DataType.FLOAT32);
  }

  private static PtSymbolBlock load(
      PtNDManager manager, ByteArrayOutputStream source, String product) {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    text.writeBytes(source.toByteArray());
    append(ScriptModule.class, product, text);
    try (InputStream archive = new ByteArrayInputStream(archive(text.toByteArray()))) {
      PtSymbolBlock loaded = JniUtils.loadModule(manager, archive, false, false);
      LOGGER.info("matrix products are those of {}", product.substring(FOLDER.length()));
      return loaded;
    } catch (EngineException e) {
      if (product.equals(PLAIN_PRODUCT) || !String.valueOf(e.getMessage()).contains(NO_ONEDNN)) {
        throw e;
      }
      LOGGER.info("this libtorch has no oneDNN, which makes products slower: {}", e.getMessage());
      return load(manager, source, PLAIN_PRODUCT);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Runs a method that returns one tensor.
   *
   * @param manager owns the result; null where the method is run for what it does to its arguments
   * @param arguments tensors, ints, longs, doubles, arrays of tensors and of longs, {@link IValue}s
   *     that were made before and stay open, and lists whose entries are arguments
   */
  public PtNDArray run(PtNDManager manager, String method, Object... arguments) {
    List<IValue> values = new ArrayList<>();
    List<IValue> made = new ArrayList<>();
    try {
      add(Arrays.asList(arguments), values, made);
      try (IValue result = call(method, values.toArray(IValue[]::new))) {
        return manager == null ? null : result.toTensor(manager);
      }
    } finally {
      made.forEach(IValue::close);
    }
  }

  /**
   * Runs a method that returns a tuple or list of tensors, with autograd, which {@link #run}
   * switches off. The engine takes arrays alone then, and reads from their names which method is
   * meant and which of them are a list.
   *
   * @param manager owns the results
   * @param arguments tensors, lists of tensors, and lists whose entries are arguments; each tensor
   *     stands in one of them only
   */
  public List<PtNDArray> gradients(PtNDManager manager, String method, Object... arguments) {
    PyTorchRuntime.keepThreads();
    try (NDArray name = manager.create(new Shape(0), DataType.FLOAT32)) {
      name.setName("module_method:" + method);
      NDList inputs = new NDList(name);
      addInputs(inputs, Arrays.asList(arguments));
      return IValueUtils.forward(block, inputs, true).stream().map(PtNDArray.class::cast).toList();
    }
  }

  private static void addInputs(NDList inputs, List<?> arguments) {
    for (Object argument : arguments) {
      if (argument instanceof NDArray tensor) {
        tensor.setName(null);
        inputs.add(tensor);
      } else if (argument instanceof List<?> list
          && list.stream().allMatch(NDArray.class::isInstance)) {
        String name = "list" + inputs.size() + "[]";
        for (Object entry : list) {
          ((NDArray) entry).setName(name);
          inputs.add((NDArray) entry);
        }
      } else {
        addInputs(inputs, (List<?>) argument);
      }
    }
  }

  private static void add(List<?> arguments, List<IValue> values, List<IValue> made) {
    for (Object argument : arguments) {
      if (argument instanceof List<?> list) {
        add(list, values, made);
      } else if (argument instanceof IValue value) {
        values.add(value);
      } else {
        made.add(value(argument));
        values.add(made.get(made.size() - 1));
      }
    }
  }

  private IValue call(String method, IValue... arguments) {
    PyTorchRuntime.keepThreads();
    return IValueUtils.runMethod(block, method, arguments);
  }

  private static IValue value(Object argument) {
    if (argument instanceof PtNDArray tensor) {
      return IValue.from(tensor);
    } else if (argument instanceof PtNDArray[] tensors) {
      return IValue.listFrom(tensors);
    } else if (argument instanceof Integer || argument instanceof Long) {
      return IValue.from(((Number) argument).longValue());
    } else if (argument instanceof Double number) {
      return IValue.from(number);
    } else if (argument instanceof long[] numbers) {
      return IValue.listFrom(numbers);
    }
    throw new IllegalArgumentException("a script takes no " + argument.getClass().getName());
  }

  /** {@code tensor} in another type, a copy that belongs to {@code manager}. */
  public PtNDArray convert(PtNDManager manager, PtNDArray tensor, ComputeType type) {
    return run(manager, "convert", tensor, type.scriptCode());
  }

  /**
   * Makes the form of a weight [out, in] for products; null where it is best as it is.
   *
   * @param int8 whether it is kept as integers with a scale for each row, in one int8 tensor
   */
  public UnaryOperator<PtNDArray> productForm(PtNDManager manager, ComputeType type, boolean int8) {
    if (int8) {
      return weight -> run(weight.getManager(), "int8_weight", weight);
    }
    try (PtNDArray able = run(manager, "packs", type.scriptCode())) {
      return able.size() > 0 ? weight -> run(weight.getManager(), "pack", weight) : null;
    }
  }

  /** The list of tensors that every call is passed in place of these. */
  public IValue passed(List<PtNDArray> tensors) {
    try (IValue list = IValue.listFrom(tensors.toArray(PtNDArray[]::new))) {
      return call("passed", list);
    }
  }

  /** Zeros on the device of the module. The engine's Java side has no bfloat16, the script has. */
  public PtNDArray zeros(PtNDManager manager, Shape shape, ComputeType type) {
    return zeros(manager, shape, type.scriptCode());
  }

  /** Zeros of any type by PyTorch's number for it. */
  public PtNDArray zeros(PtNDManager manager, Shape shape, long typeCode) {
    return run(manager, "zeros", shape.getShape(), typeCode, onDevice);
  }

  /** A copy of {@code tensor} on the device of the module. */
  public PtNDArray toDevice(PtNDManager manager, PtNDArray tensor) {
    return run(manager, "to_device", tensor, onDevice);
  }

  /** Copies {@code source} over {@code target}, both of the same shape. */
  public void assign(PtNDArray target, PtNDArray source) {
    run(null, "assign", target, source);
  }

  /** Copies {@code source}, which is stored in a layout, over {@code target} [out, in]. */
  public void assign(PtNDArray target, PtNDArray source, WeightSpec.Layout layout) {
    if (layout instanceof WeightSpec.Transposed) {
      run(null, "assign_transposed", target, source);
    } else if (layout instanceof WeightSpec.Grouped grouped) {
      run(null, "assign_ungrouped", target, source, grouped.groups(), grouped.queries());
    } else {
      assign(target, source);
    }
  }

  @Override
  public void close() {
    onDevice.close();
    block.close();
  }

  private static byte[] archive(byte[] source) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      put(zip, "archive/data.pkl", OBJECT);
      put(zip, "archive/code/__torch__.py", source);
      put(zip, "archive/constants.pkl", EMPTY_TUPLE);
      put(zip, "archive/version", bytes(FORMAT_VERSION));
    }
    return bytes.toByteArray();
  }

  private static void append(Class<?> beside, String source, ByteArrayOutputStream text) {
    try (InputStream resource = beside.getResourceAsStream(source)) {
      if (resource == null) {
        throw new IllegalArgumentException("no resource " + source + " beside " + beside);
      }
      resource.transferTo(text);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
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
