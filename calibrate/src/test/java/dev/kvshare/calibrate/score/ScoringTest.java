package dev.kvshare.calibrate.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecoderOptions.WeightForm;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.LayerGradients;
import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.decoder.LayerParts.KeyValues;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.LayerAction;
import dev.kvshare.calibrate.CalibrationText;
import dev.kvshare.calibrate.repair.TinyModels;
import dev.kvshare.datasets.Datasets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Gradients of layers, and the scores that are made of them. */
@Tag("numerics")
class ScoringTest {
  private static final LayerAction.Window SMALL = new LayerAction.Window(1, 8);
  private static final LayerAction.Window WINDOW = new LayerAction.Window(4, 32);
  private static final Path BUILT_IN =
      Path.of(System.getProperty("kvshare.root"), "models", "builtin");

  static List<Path> checkpoints() {
    return Stream.concat(TinyModels.architectures().stream(), TinyModels.variants().stream())
        .toList();
  }

  /** Along a random direction, by x, by what the heads give and by what the attention gives. */
  @ParameterizedTest
  @MethodSource("checkpoints")
  void gradientsAreThoseOfFiniteDifferences(Path directory) {
    try (Decoder decoder = TinyModels.load(directory);
        LayerGradients gradients = decoder.newGradients(Scoring.class, "scores.py");
        LayerParts parts = decoder.parts();
        NDManager manager = decoder.newManager()) {
      int layer = decoder.spec().layers() - 1;
      int tokens = 12;
      manager.getEngine().setRandomSeed(3);
      Shape shape = new Shape(2, tokens, decoder.spec().hiddenSize());
      NDArray x = manager.randomNormal(shape);
      NDArray slope = manager.randomNormal(shape);
      KeyValues cache = parts.newKeyValues(layer, x);
      NDArray heads = parts.heads(layer, x, cache, true);
      NDArray attended = parts.project(layer, Part.ATTENTION, heads);
      List<? extends NDArray> found =
          gradients.run(manager, "score_layer", x, slope, gradients.layer(layer, tokens, manager));

      assertSlope(found.get(0), x, y -> slope.mul(behind(parts, layer, y)).sum());
      assertSlope(
          found.get(1),
          heads,
          y -> slope.mul(behind(parts, layer, x, parts.project(layer, Part.ATTENTION, y))).sum());
      assertSlope(found.get(2), attended, y -> slope.mul(behind(parts, layer, x, y)).sum());
    }
  }

  private static NDArray behind(LayerParts parts, int layer, NDArray x) {
    NDArray heads = parts.heads(layer, x, parts.newKeyValues(layer, x), true);
    return behind(parts, layer, x, parts.project(layer, Part.ATTENTION, heads));
  }

  private static NDArray behind(LayerParts parts, int layer, NDArray x, NDArray attended) {
    NDArray between = parts.add(layer, Part.ATTENTION, x, attended);
    NDArray inner = parts.inner(layer, x, between);
    return parts.add(
        layer, Part.FEED_FORWARD, between, parts.project(layer, Part.FEED_FORWARD, inner));
  }

  /** One of three directions will do: the choice of experts jumps along some. */
  private static void assertSlope(NDArray gradient, NDArray at, UnaryOperator<NDArray> function) {
    float step = 3e-4f;
    double least = Double.POSITIVE_INFINITY;
    for (int attempt = 0; attempt < 3; attempt++) {
      NDArray direction = at.getManager().randomNormal(at.getShape());
      double above = function.apply(at.add(direction.mul(step))).getFloat();
      double below = function.apply(at.sub(direction.mul(step))).getFloat();
      double along = gradient.mul(direction).sum().getFloat();
      least = Math.min(least, Math.abs(along - (above - below) / (2 * step)));
    }
    double size = Math.sqrt(gradient.mul(gradient).sum().getFloat());
    assertEquals(0, least / size, 0.02);
  }

  /** Of single layers of the built-in model: windows as they are, sharing without any repair. */
  @Test
  void scoresOrderLayersAsTheirDivergenceDoes() {
    try (LoadedModel model = LoadedModel.open(BUILT_IN, DecoderOptions.DEFAULT)) {
      List<int[]> text = text(model, 64);
      Scores scores = score(model.decoder(), text.subList(0, 12), 0);
      assertOrder(0.8, scores, WINDOW, model.decoder(), text.subList(12, 16));
      for (int layer = 1; layer < model.decoder().spec().layers(); layer++) {
        double share = scores.of(layer, new LayerAction.Share(layer - 1));
        assertTrue(share > 0 && share < 10, layer + ": " + share);
      }
      assertEquals(Double.POSITIVE_INFINITY, scores.of(0, new LayerAction.Share(1)));
      assertEquals(0, scores.of(0, new LayerAction.Own()));
    }
  }

  /** The figures of docs/quality.md. */
  @Test
  @EnabledIfSystemProperty(
      named = "kvshare.scored",
      matches = ".+",
      disabledReason = "takes minutes, and needs a model: -Dkvshare.scored=FILE.gguf")
  void scoresOrderLayersOfARealModel() {
    Path file = Path.of(System.getProperty("kvshare.scored"));
    LayerAction.Window window = new LayerAction.Window(4, 64);
    try (LoadedModel model = LoadedModel.open(file, DecoderOptions.DEFAULT)) {
      List<int[]> text = text(model, 512);
      List<LayerAction> only = List.of(window);
      List<List<LayerAction>> actions = Collections.nCopies(model.decoder().spec().layers(), only);
      Scores scores;
      try (Scoring scoring = new Scoring(model.decoder(), text.subList(0, 8))) {
        scores = scoring.score(actions, 0, done -> {});
      }
      assertOrder(0.9, scores, window, model.decoder(), text.subList(8, 10));
    }
  }

  private static List<int[]> text(LoadedModel model, int tokens) {
    return new CalibrationText(model)
        .passages(Datasets.ofUser(Map.of()).find(Datasets.GENERAL_CALIBRATION).load(), tokens);
  }

  /** The rank correlation of the scores with what each layer alone costs on other text. */
  private static void assertOrder(
      double least, Scores scores, LayerAction.Window window, Decoder decoder, List<int[]> text) {
    int layers = decoder.spec().layers();
    double[] estimated =
        IntStream.range(0, layers).mapToDouble(layer -> scores.of(layer, window)).toArray();
    Plan unshared = Plan.identity(layers);
    List<Plan> plans =
        IntStream.range(0, layers)
            .mapToObj(layer -> unshared.withWindowed(layer, window.last(), window.first()))
            .toList();
    double[] divergences = divergences(decoder, text, plans);
    double correlation = rankCorrelation(estimated, divergences);
    assertTrue(
        correlation > least,
        () ->
            "rank correlation %s of %s with %s"
                .formatted(correlation, Arrays.toString(estimated), Arrays.toString(divergences)));
    System.out.printf(Locale.ROOT, "rank correlation of %d layers: %.3f%n", layers, correlation);
  }

  private static double[] divergences(Decoder decoder, List<int[]> text, List<Plan> plans) {
    double[] means = new double[plans.size()];
    for (int[] ids : text) {
      try (NDManager manager = decoder.newManager()) {
        NDArray tokens =
            manager.create(ids, new Shape(1, ids.length)).toType(DataType.INT64, false);
        NDArray unshared = last(decoder, Plan.identity(decoder.spec().layers()), tokens);
        NDArray none = manager.full(tokens.getShape(), -1, DataType.INT64);
        for (int i = 0; i < means.length; i++) {
          NDArray shared = last(decoder, plans.get(i), tokens);
          means[i] += decoder.divergence(unshared, shared, none).mean() / text.size();
        }
      }
    }
    return means;
  }

  private static NDArray last(Decoder decoder, Plan plan, NDArray ids) {
    int length = Math.toIntExact(ids.getShape().get(1));
    try (KvCache cache = decoder.newCache(CacheOptions.of(plan), 1, length)) {
      return decoder.layers(decoder.embed(ids, cache), cache, 0, plan.map().layers());
    }
  }

  private static double rankCorrelation(double[] first, double[] second) {
    double[] a = ranks(first);
    double[] b = ranks(second);
    double squares =
        IntStream.range(0, a.length).mapToDouble(i -> (a[i] - b[i]) * (a[i] - b[i])).sum();
    return 1 - 6 * squares / (a.length * ((double) a.length * a.length - 1));
  }

  private static double[] ranks(double[] values) {
    double[] ranks = new double[values.length];
    List<Integer> order =
        IntStream.range(0, values.length)
            .boxed()
            .sorted(Comparator.comparingDouble(i -> values[i]))
            .toList();
    for (int rank = 0; rank < ranks.length; rank++) {
      ranks[order.get(rank)] = rank;
    }
    return ranks;
  }

  @Test
  void twoRunsAgreeAndOffloadedWeightsGiveTheSame() {
    Path directory = TinyModels.architecture("qwen2");
    DecoderOptions options = new DecoderOptions("cpu", ComputeType.FLOAT32, 1);
    Scores expected;
    try (LoadedModel model = LoadedModel.open(directory, options)) {
      expected = score(model.decoder(), text(model.decoder()), 1);
      assertEquals(expected, score(model.decoder(), text(model.decoder()), 1));
    }
    try (LoadedModel model =
        LoadedModel.open(directory, options.withResidency(WeightResidency.ONE_LAYER))) {
      assertEquals(expected, score(model.decoder(), text(model.decoder()), 1));
    }
  }

  @Test
  void narrowWeightsScoreAlike() {
    DecoderOptions exact = new DecoderOptions("cpu", ComputeType.FLOAT32, 1);
    for (DecoderOptions narrow :
        List.of(
            new DecoderOptions("cpu", ComputeType.BFLOAT16, 1),
            new DecoderOptions("cpu", ComputeType.BFLOAT16, 1).withWeights(WeightForm.INT8))) {
      try (LoadedModel model = LoadedModel.open(BUILT_IN, exact);
          LoadedModel other = LoadedModel.open(BUILT_IN, narrow)) {
        List<int[]> text = text(model.decoder());
        Scores expected = score(model.decoder(), text, 1);
        Scores found = score(other.decoder(), text, 1);
        for (int layer = 1; layer < model.decoder().spec().layers(); layer++) {
          double wanted = expected.of(layer, SMALL);
          assertEquals(wanted, found.of(layer, SMALL), 0.5 * wanted);
        }
      }
    }
  }

  private static List<int[]> text(Decoder decoder) {
    Random random = new Random(5);
    return Stream.generate(() -> random.ints(40, 0, decoder.spec().vocabularySize()).toArray())
        .limit(8)
        .toList();
  }

  /** Windows, and sharing with the layer below where it may be read. */
  private static Scores score(Decoder decoder, List<int[]> text, long seed) {
    List<List<LayerAction>> actions = new ArrayList<>();
    for (int layer = 0; layer < decoder.spec().layers(); layer++) {
      List<LayerAction> ofLayer = new ArrayList<>(List.of(SMALL, WINDOW));
      if (layer > 0 && decoder.spec().mayShare(layer, layer - 1)) {
        ofLayer.add(new LayerAction.Share(layer - 1));
      }
      actions.add(ofLayer);
    }
    try (Scoring scoring = new Scoring(decoder, text)) {
      return scoring.score(actions, seed, done -> {});
    }
  }
}
