package dev.kvshare.apply.generate;

import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The tiny Llama checkpoint with the greedy continuation that transformers gives. */
final class TinyLlama {
  static final Path DIRECTORY =
      Path.of(
          System.getProperty("kvshare.root"),
          "apply/src/test/resources/goldens/architectures/llama");

  private TinyLlama() {}

  /** One of the two recorded sequences of 20 tokens. */
  static List<Integer> input(int row) {
    return longs("input_ids").subList(row * 20, (row + 1) * 20);
  }

  /** 16 tokens behind the first sequence, end token suppressed. */
  static List<Integer> greedy() {
    return longs("greedy");
  }

  private static List<Integer> longs(String tensor) {
    try (SafetensorsFile file = SafetensorsFile.open(DIRECTORY.resolve("golden.safetensors"))) {
      LongBuffer buffer = file.bytes(tensor, DataType.I64).asLongBuffer();
      List<Integer> ids = new ArrayList<>();
      while (buffer.hasRemaining()) {
        ids.add(Math.toIntExact(buffer.get()));
      }
      return ids;
    }
  }
}
