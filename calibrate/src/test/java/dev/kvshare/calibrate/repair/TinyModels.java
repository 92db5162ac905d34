package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.ComputeType;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.plan.SharingMap;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;

/** The golden checkpoints of every family, and random text for them. */
final class TinyModels {
  private static final Path ARCHITECTURES =
      Path.of(System.getProperty("kvshare.root"), "apply/src/test/resources/goldens/architectures");

  private TinyModels() {}

  static List<Path> architectures() {
    try (Stream<Path> entries = Files.list(ARCHITECTURES)) {
      return entries.filter(Files::isDirectory).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static Path architecture(String name) {
    return ARCHITECTURES.resolve(name);
  }

  static Decoder load(Path directory) {
    return load(directory, ComputeType.FLOAT32);
  }

  static Decoder load(Path directory, ComputeType type) {
    try (Checkpoint checkpoint = Checkpoints.open(directory)) {
      return Decoder.load(checkpoint, new DecoderOptions("cpu", type, 1));
    }
  }

  /** The highest layer that may read one below it reads the nearest such. */
  static SharingMap map(Decoder decoder) {
    int layers = decoder.spec().layers();
    for (int layer = layers - 1; layer > 0; layer--) {
      for (int source = layer - 1; source >= 0; source--) {
        if (decoder.spec().mayShare(layer, source)) {
          return SharingMap.identity(layers).withShared(layer, source);
        }
      }
    }
    throw new AssertionError("no two layers may share");
  }

  /** A fifth of the windows validates. */
  static RepairPassages windows(Decoder decoder, int count, int tokens) {
    Random random = new Random(11);
    List<int[]> windows = new ArrayList<>();
    for (int window = 0; window < count; window++) {
      windows.add(random.ints(tokens, 0, decoder.spec().vocabularySize()).toArray());
    }
    return RepairPassages.split(windows, 5);
  }
}
