package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.DataType;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * A tensor of a GGUF file.
 *
 * @param name as in the file
 * @param sizes innermost first
 * @param offset first byte in the file
 */
public record GgufTensor(
    String name, DataType dataType, List<Long> sizes, long bytes, long offset) {
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
