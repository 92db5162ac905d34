package dev.kvshare.calibrate.repair.fit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.decoder.LayerParts.KeyValues;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.repair.TinyModels;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Queries that are fitted to foreign keys, in every family, layout of weights and kind of norm. */
class QueryFitTest {
  private static final double TOLERANCE = 2e-4;
  private static final int BATCH = 2;
  private static final int TOKENS = 20;
  private static final QueryFit.Settings SETTINGS = new QueryFit.Settings(3, 20, 1e-3, 1000);

  static List<Path> checkpoints() {
    return Stream.concat(TinyModels.architectures().stream(), TinyModels.variants().stream())
        .toList();
  }

  /** Queries of half the size give the attention of old on keys of twice the size. */
  @Test
  void undoesWhatQueriesCanUndo() {
    onLayerOne(
        TinyModels.architecture("llama"),
        (decoder, x, cache) -> {
          NDManager manager = x.getManager();
          NDArray doubled = cache.keys().mul(2);
          try (Fits fits = new Fits(decoder);
              QueryFit fit = fits.newQueries(1, manager)) {
            fit.add(x, x, doubled, 1, false);

            QueryFit.Result result = fit.solve(new QueryFit.Settings(6, 60, 1e-7, 1000), manager);

            assertTrue(result.before() > 0.01, "before " + result.before());
            assertTrue(result.after() < 1e-4 * result.before(), "after " + result.after());
            NDArray wanted = decoder.parts().heads(1, x, cache, false);
            NDArray given =
                decoder
                    .parts()
                    .headsWith(
                        result.queries(), 1, x, new KeyValues(doubled, cache.values()), false);
            double scale = wanted.abs().mean().getFloat();
            assertEquals(0, difference(wanted.toFloatArray(), given.toFloatArray()), 0.02 * scale);
          }
        });
  }

  @ParameterizedTest
  @MethodSource("checkpoints")
  void ownKeysAreAlreadyRight(Path directory) {
    onLayerOne(
        directory,
        (decoder, x, cache) -> {
          try (Fits fits = new Fits(decoder);
              QueryFit fit = fits.newQueries(1, x.getManager())) {
            fit.add(x, x, cache.keys(), 1, false);

            QueryFit.Result result = fit.solve(SETTINGS, x.getManager());

            assertEquals(0, result.before(), 1e-5);
          }
        });
  }

  @ParameterizedTest
  @MethodSource("checkpoints")
  void comesNearerOnForeignKeys(Path directory) {
    onLayerOne(
        directory,
        (decoder, x, cache) -> {
          NDManager manager = x.getManager();
          manager.getEngine().setRandomSeed(3);
          NDArray noise = manager.randomNormal(cache.keys().getShape());
          NDArray foreign = cache.keys().add(noise.mul(cache.keys().abs().mean()));
          try (Fits fits = new Fits(decoder);
              QueryFit fit = fits.newQueries(1, manager)) {
            fit.add(x, x, foreign, 1, false);

            QueryFit.Result result = fit.solve(SETTINGS, manager);

            assertTrue(
                result.after() < 0.7 * result.before(), result.after() + " of " + result.before());
          }
        });
  }

  /** Three steps of three iterations; conjugate gradients alone leave 0.083 in as many. */
  @Test
  void fewIterationsAreEnough() {
    onLayerOne(
        TinyModels.architecture("llama"),
        (decoder, x, cache) -> {
          NDArray doubled = cache.keys().mul(2);
          try (Fits fits = new Fits(decoder);
              QueryFit fit = fits.newQueries(1, x.getManager())) {
            fit.add(x, x, doubled, 1, false);

            QueryFit.Result result =
                fit.solve(new QueryFit.Settings(3, 3, 1e-4, 1000), x.getManager());

            assertTrue(
                result.after() < 0.06 * result.before(), result.after() + " of " + result.before());
          }
        });
  }

  /** Every third token of four windows: the first ones take turns, so all positions are seen. */
  @Test
  void fitsToEveryThirdToken() {
    onLayerOne(
        TinyModels.architectures().get(0),
        (decoder, x, cache) -> {
          NDManager manager = x.getManager();
          NDArray doubled = cache.keys().mul(2);
          try (Fits fits = new Fits(decoder);
              QueryFit fit = fits.newQueries(1, manager)) {
            for (int time = 0; time < 3; time++) {
              fit.add(x, x, doubled, 3, false);
            }
            fit.add(x, x, doubled, 1, true);

            QueryFit.Result result = fit.solve(new QueryFit.Settings(6, 60, 1e-7, 1000), manager);

            assertTrue(result.after() < 1e-3 * result.before(), "after " + result.after());
          }
        });
  }

  /** Windows that judge decide; what is fitted to one text may be worse on another. */
  @Test
  void keepsTheCheckpointsQueriesWhereOthersAreNoBetter() {
    onLayerOne(
        TinyModels.architectures().get(0),
        (decoder, x, cache) -> {
          NDManager manager = x.getManager();
          manager.getEngine().setRandomSeed(3);
          NDArray foreign = manager.randomNormal(cache.keys().getShape()).mul(5);
          try (Fits fits = new Fits(decoder);
              QueryFit fit = fits.newQueries(1, manager)) {
            fit.add(x, x, foreign, 1, false);
            fit.add(x, x, cache.keys(), 1, true);

            QueryFit.Result result = fit.solve(SETTINGS, manager);

            assertNull(result.queries());
            assertEquals(result.before(), result.after());
          }
        });
  }

  /** The fitted queries by the checkpoint's names, run by the decoder, give what the parts give. */
  @ParameterizedTest
  @MethodSource("checkpoints")
  void theDecoderRunsThem(Path directory) {
    onLayerOne(
        directory,
        (decoder, x, cache) -> {
          if (!decoder.spec().mayShare(1, 0)) {
            return;
          }
          NDManager manager = x.getManager();
          LayerParts parts = decoder.parts();
          KeyValues lower = parts.newKeyValues(0, x);
          SharingMap map = SharingMap.identity(decoder.spec().layers()).withShared(1, 0);
          try (Fits fits = new Fits(decoder);
              QueryFit fit = fits.newQueries(1, manager);
              KvCache plain = decoder.newCache(map, BATCH, TOKENS)) {
            NDArray embedded = decoder.embed(ids(manager, directory), plain);
            parts.heads(0, embedded, lower, true);
            fit.add(x, x, lower.keys(), 1, false);
            Projection queries = fit.solve(SETTINGS, manager).queries();
            assertNotNull(queries);
            NDArray heads = parts.headsWith(queries, 1, x, lower, false);
            NDArray between =
                parts.add(
                    1,
                    LayerParts.Part.ATTENTION,
                    x,
                    parts.project(1, LayerParts.Part.ATTENTION, heads));
            NDArray inner = parts.inner(1, x, between);
            NDArray expected =
                parts.add(
                    1,
                    LayerParts.Part.FEED_FORWARD,
                    between,
                    parts.project(1, LayerParts.Part.FEED_FORWARD, inner));

            try (WeightOverrides overrides =
                    decoder.newOverrides(
                        decoder.tensors(1, WeightRole.QUERY_KEY_VALUE, queries, manager));
                KvCache run = decoder.newCache(new CacheOptions(map, overrides), BATCH, TOKENS)) {
              NDArray given = decoder.layers(embedded, run, 0, 2);

              assertEquals(
                  0,
                  difference(expected.toFloatArray(), given.toFloatArray()),
                  TOLERANCE * (1 + expected.abs().max().getFloat()));
            }
          }
        });
  }

  private interface Check {
    void accept(Decoder decoder, NDArray x, KeyValues cache);
  }

  /** The stream before layer 1 of the unshared model, and that layer's keys and values. */
  private static void onLayerOne(Path directory, Check check) {
    try (Decoder decoder = TinyModels.load(directory);
        NDManager manager = decoder.newManager();
        KvCache cache =
            decoder.newCache(SharingMap.identity(decoder.spec().layers()), BATCH, TOKENS)) {
      NDArray x = decoder.layers(decoder.embed(ids(manager, directory), cache), cache, 0, 1);
      KeyValues own = decoder.parts().newKeyValues(1, x);
      decoder.parts().heads(1, x, own, true);
      check.accept(decoder, x, own);
    }
  }

  private static NDArray ids(NDManager manager, Path directory) {
    try (SafetensorsFile golden = SafetensorsFile.open(directory.resolve("golden.safetensors"))) {
      long[] ids = new long[BATCH * TOKENS];
      golden.bytes("input_ids", DataType.I64).asLongBuffer().get(ids);
      return manager.create(ids, new Shape(BATCH, TOKENS));
    }
  }

  private static double difference(float[] expected, float[] found) {
    assertEquals(expected.length, found.length);
    double largest = 0;
    for (int index = 0; index < expected.length; index++) {
      largest = Math.max(largest, Math.abs(expected[index] - found[index]));
    }
    return largest;
  }
}
