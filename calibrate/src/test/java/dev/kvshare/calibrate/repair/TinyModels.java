package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.script.ComputeType;
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
public final class TinyModels {
  private static final Path GOLDENS =
      Path.of(System.getProperty("kvshare.root"), "apply/src/test/resources/goldens");

  private TinyModels() {}

  public static List<Path> architectures() {
    return directories("architectures");
  }

  /** The same with other settings. */
  public static List<Path> variants() {
    return directories("variants");
  }

  private static List<Path> directories(String folder) {
    try (Stream<Path> entries = Files.list(GOLDENS.resolve(folder))) {
      return entries.filter(Files::isDirectory).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public static Path architecture(String name) {
    return GOLDENS.resolve("architectures").resolve(name);
  }

  public static Decoder load(Path directory) {
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

  /** A fifth of the passages validates. */
  static RepairPassages passages(Decoder decoder, int count, int tokens) {
    Random random = new Random(11);
    List<int[]> passages = new ArrayList<>();
    for (int passage = 0; passage < count; passage++) {
      passages.add(random.ints(tokens, 0, decoder.spec().vocabularySize()).toArray());
    }
    return RepairPassages.split(passages, 5);
  }
}
