package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.LayerParts.KeyValues;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.plan.SharingMap;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Layers that are run part by part, in every family and placement of norms. */
class LayerPartsTest {
  private static final double TOLERANCE = 2e-4;
  private static final int BATCH = 2;
  private static final int TOKENS = 20;

  static List<Path> checkpoints() {
    return Stream.concat(Goldens.architectures().stream(), Goldens.variants().stream()).toList();
  }

  @ParameterizedTest
  @MethodSource("checkpoints")
  void partsGiveWhatLayersGiveUnderAMap(Path directory) {
    try (Decoder decoder = Goldens.load(directory);
        NDManager manager = decoder.newManager()) {
      NDArray ids = ids(manager, directory);
      SharingMap map = SharingMap.identity(decoder.spec().layers());
      int last = map.layers() - 1;
      if (decoder.spec().mayShare(last, last - 1)) {
        map = map.withShared(last, last - 1);
      }
      try (KvCache cache = decoder.newCache(map, BATCH, TOKENS)) {
        NDArray x = decoder.embed(ids, cache);
        NDArray expected = decoder.layers(x, cache, 0, map.layers());
        LayerParts parts = decoder.parts();
        List<KeyValues> caches = new ArrayList<>();
        for (int layer = 0; layer < map.layers(); layer++) {
          caches.add(parts.newKeyValues(layer, x));
          KeyValues read = caches.get(map.source(layer));
          NDArray heads = parts.heads(layer, x, read, map.ownsCache(layer));
          NDArray attended = parts.project(layer, Part.ATTENTION, heads);
          NDArray between = parts.add(layer, Part.ATTENTION, x, attended);
          NDArray inner = parts.inner(layer, x, between);
          NDArray fed = parts.project(layer, Part.FEED_FORWARD, inner);
          x = parts.add(layer, Part.FEED_FORWARD, between, fed);
        }

        double difference = Goldens.difference(expected.toFloatArray(), x.toFloatArray());
        assertEquals(0, difference, TOLERANCE);
      }
    }
  }

  /** Adding the target of a disturbed stream gives the stream of the reference, or nearly so. */
  @ParameterizedTest
  @MethodSource("checkpoints")
  void theTargetLeadsBackToTheReference(Path directory) {
    try (Decoder decoder = Goldens.load(directory);
        NDManager manager = decoder.newManager();
        KvCache cache =
            decoder.newCache(SharingMap.identity(decoder.spec().layers()), BATCH, TOKENS)) {
      manager.getEngine().setRandomSeed(7);
      LayerParts parts = decoder.parts();
      NDArray reference =
          decoder.layers(decoder.embed(ids(manager, directory), cache), cache, 0, 1);
      NDArray noise = manager.randomNormal(reference.getShape()).mul(0.01f);
      NDArray x = reference.add(noise.mul(reference.abs().mean()));
      NDArray heads = parts.heads(1, reference, parts.newKeyValues(1, reference), true);
      NDArray expected = parts.project(1, Part.ATTENTION, heads);
      NDArray wanted = parts.add(1, Part.ATTENTION, reference, expected);

      NDArray target = parts.target(1, Part.ATTENTION, reference, x, expected);
      NDArray reached = parts.add(1, Part.ATTENTION, x, target);

      double before = distance(parts.add(1, Part.ATTENTION, x, expected), wanted);
      assertTrue(
          distance(reached, wanted) < 0.2 * before, distance(reached, wanted) + " of " + before);
      NDArray weights = parts.tokenWeights(1, reference, expected);
      assertEquals(new Shape(BATCH, TOKENS), weights.getShape());
      assertTrue(weights.min().getFloat() > 0);
    }
  }

  private static double distance(NDArray a, NDArray b) {
    return a.sub(b).norm().getFloat();
  }

  private static NDArray ids(NDManager manager, Path directory) {
    long[] ids = Goldens.longs(directory.resolve("golden.safetensors"), "input_ids");
    return manager.create(ids, new Shape(BATCH, TOKENS));
  }
}
