package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.storage.ModelFile;
import dev.kvshare.apply.model.storage.Problems;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** What a GGUF file holds, in its own names and order; findings go to {@code problems}. */
record GgufContents(
    ModelFile file, Metadata metadata, Map<String, GgufTensor> tensors, Problems problems) {
  private static final long MAX_FACTORS = 1 << 16;

  /** The name of the architecture, or null when the file has none. */
  String architecture() {
    return metadata.text("general.architecture");
  }

  boolean hasTensor(String name) {
    return tensors.containsKey(name);
  }

  /** The values of a small float32 tensor; empty when it is absent. */
  List<Double> floats(String name) {
    GgufTensor tensor = tensors.get(name);
    List<Double> values = new ArrayList<>();
    if (tensor == null) {
      return values;
    }
    if (tensor.dataType() != DataType.F32 || tensor.bytes() > MAX_FACTORS * Float.BYTES) {
      problems.unsupported(
          "tensor '%s' is %s %s, but must be at most %s values of F32"
              .formatted(name, tensor.dataType(), tensor.sizes(), MAX_FACTORS));
      return values;
    }
    ByteBuffer bytes = ByteBuffer.allocate((int) tensor.bytes()).order(ByteOrder.LITTLE_ENDIAN);
    file.read(tensor.offset(), bytes);
    bytes.flip();
    while (bytes.hasRemaining()) {
      values.add((double) bytes.getFloat());
    }
    return values;
  }

  /** A whole number, which may be given for each layer if it is the same; null when absent. */
  Long uniform(String key) {
    if (!metadata.isArray(key)) {
      return metadata.natural(key);
    }
    List<Long> values = metadata.integers(key);
    if (values.isEmpty() || values.stream().distinct().count() > 1) {
      problems.unsupported(
          "key '" + key + "' is " + values + ", but layers that differ are not computed");
      return null;
    }
    return values.get(0);
  }

  /** A tensor of a GGUF file: sizes innermost first, offset from the start of the file. */
  record GgufTensor(String name, DataType dataType, List<Long> sizes, long bytes, long offset) {
    public GgufTensor {
      sizes = List.copyOf(sizes);
    }

    /** Sizes outermost first, as Hugging Face gives them. */
    public List<Long> shape() {
      List<Long> shape = new ArrayList<>(sizes);
      Collections.reverse(shape);
      return List.copyOf(shape);
    }

    long end() {
      return offset + bytes;
    }

    String range() {
      return "'" + name + "' [" + offset + ", " + end() + ")";
    }
  }
}
