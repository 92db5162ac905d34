package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.LayerCall;
import dev.kvshare.apply.family.spec.AttentionSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;

/**
 * Fits the query projection of a layer to the keys of another one, so that its attention becomes
 * the unshared model's again. Letters: B windows, T tokens, S of them that are fitted to, E hidden
 * size, Hq query heads, D head size, F inputs: E, and one more where the projection has a bias.
 *
 * <p>Minimised is the mean divergence KL(wanted || given) of the attention distributions of all
 * heads, plus strength times the mean curvature times the squared distance from the checkpoint's
 * weight, by Gauss-Newton steps:
 *
 * <pre>
 * scores of a row   s = q K'         K: the foreign keys, rotated; q: the rotated query, linear in W
 * slope             K' (a - p)       a: the wanted distribution, p = softmax(s)
 * curvature         K' (diag(m) - m m') K
 * </pre>
 *
 * <p>with m = (a + p) / 2. The first step is far from the solution: there the slope is that of the
 * weighted squares of differences of the scores, with m = a, which needs no p near a. Each step is
 * solved by conjugate gradients, is halved until the divergence falls, and the fit ends when it
 * does not. Norms of queries are held at their present size during a step.
 *
 * <p>The gradients are conditioned ({@link QueryConditioner}), damped by twice the mean curvature.
 * On SmolLM2 that comes to half of the divergence in half as many products with the curvature.
 *
 * <p>Memory for N tokens that are fitted to in windows of T: 3 x N x T x Hq numbers. Made by {@link
 * LayerQueries#newFit}.
 */
public final class QueryFit implements AutoCloseable {
  private static final double SMALLEST_STEP = 0.2;

  /** A mean divergence that float32 makes by itself: a fit to it is one to noise. */
  private static final double ROUNDING_ERROR = 1e-7;

  /** What is added to the factors of the conditioner, as a multiple of the mean curvature. */
  private static final double DAMPING = 2;

  /** Scores of attention computed at once: they stay in a processor's cache (9 MB). */
  private static final long SCORES_AT_ONCE = 9 << 18;

  private final LayerCall call;
  private final PtNDManager manager;
  private final PtNDArray start;
  private final boolean biased;
  private final int queryHeads;
  private final int headSize;
  private PtNDArray inputs;
  private final List<Windows> fit = new ArrayList<>();
  private final List<Windows> judging = new ArrayList<>();

  /**
   * How a fit is made.
   *
   * @param steps Gauss-Newton steps, at most
   * @param iterations of conjugate gradients a step
   * @param strength regularisation towards the checkpoint's weight
   * @param tokens most tokens that are fitted to; of a longer text every n-th
   */
  public record Settings(int steps, int iterations, double strength, int tokens) {
    /** No fit. */
    public static final Settings NONE = new Settings(0, 0, 0, 0);
  }

  /**
   * What a fit found.
   *
   * @param queries weight [Hq * D, E] and bias [Hq * D] (zeros where the layer has none); null
   *     where the checkpoint's are as good
   * @param before the mean divergence of a head's attention at a token of the judging windows with
   *     the checkpoint's queries, in nats
   * @param after the same with those found
   */
  public record Result(Projection queries, double before, double after) {}

  /** What a step has of one batch, at positions int64 [S] of each window. */
  private record Windows(PtNDArray inputs, PtNDArray keys, PtNDArray positions, PtNDArray wanted) {
    /** Rows of attention: tokens times query heads. */
    long rows() {
      return wanted.getShape().get(0) * wanted.getShape().get(1);
    }
  }

  /** A batch at the present queries: the gains of their norm, and the weights of the curvature. */
  private record Point(Windows windows, PtNDArray gains, PtNDArray weights) {}

  /**
   * @param start the checkpoint's projection of queries, keys and values, float32; kept
   * @param bias the same of the biases, null where there are none; kept
   */
  QueryFit(LayerCall call, AttentionSpec attention, PtNDArray start, PtNDArray bias) {
    this.call = call;
    this.manager = (PtNDManager) start.getManager().newSubManager();
    this.biased = bias != null;
    this.queryHeads = attention.queryHeads();
    this.headSize = attention.headSize();
    String rows = "0:" + (long) attention.queryHeads() * attention.headSize();
    try (NDArray weight = start.get(rows)) {
      if (biased) {
        try (NDArray values = bias.get(rows);
            NDArray column = values.expandDims(1)) {
          this.start = owned((PtNDArray) weight.concat(column, 1));
        }
      } else {
        this.start = owned((PtNDArray) weight.duplicate());
      }
    }
  }

  /**
   * Adds windows.
   *
   * @param reference the unshared model's residual stream before the layer [B, T, E]
   * @param x the stream before the layer [B, T, E]
   * @param keys of the layer that is read [B, Hkv, T, D]; they outlive the fit
   * @param stride every so many-th token of a window is fitted to, the first ones taking turns
   * @param judges whether the windows say how good the result is, instead of making it
   */
  public void add(NDArray reference, NDArray x, NDArray keys, int stride, boolean judges) {
    List<Windows> batches = judges ? judging : fit;
    long windows = x.getShape().get(0);
    long tokens = x.getShape().get(1);
    call.prepare(Math.toIntExact(tokens));
    long fitted = (tokens + stride - 1) / stride;
    long atOnce = Math.max(1, SCORES_AT_ONCE / (fitted * tokens * queryHeads));
    for (long low = 0; low < windows; low += atOnce) {
      String rows = low + ":" + Math.min(windows, low + atOnce);
      long first = Math.min(batches.size() % stride, tokens - 1);
      PtNDArray positions = (PtNDArray) manager.create(every(first, tokens, stride));
      try (NDArray expected = reference.get(rows);
          NDArray present = x.get(rows);
          IValue wanted = from(expected);
          IValue stream = from(present);
          IValue chosen = IValue.from(positions)) {
        batches.add(
            new Windows(
                call.run(manager, "query_inputs", stream, chosen),
                owned((PtNDArray) keys.get(rows)),
                positions,
                call.runTurned(manager, "query_reference", wanted, chosen)));
      }
    }
  }

  private static long[] every(long first, long tokens, long stride) {
    return LongStream.iterate(first, position -> position < tokens, position -> position + stride)
        .toArray();
  }

  /**
   * Fits to the windows that do not judge.
   *
   * @param owner of the result
   */
  public Result solve(Settings settings, NDManager owner) {
    PtNDArray queries = start;
    double divergence = divergence(fit, queries);
    double curvature = Double.NaN;
    for (int step = 0; step < settings.steps(); step++) {
      try (PtNDManager scratch = (PtNDManager) manager.newSubManager()) {
        PtNDArray slope = (PtNDArray) scratch.zeros(start.getShape(), DataType.FLOAT32);
        List<Point> points = points(queries, step == 0, slope, scratch);
        if (step == 0) {
          curvature = meanCurvature(points, scratch);
        }
        double penalty = settings.strength() * curvature;
        try (NDArray apart = queries.sub(start);
            NDArray pull = apart.mul(penalty)) {
          slope.subi(pull);
        }
        QueryConditioner conditioner = conditioner(points, DAMPING * curvature, scratch);
        PtNDArray change =
            new ConjugateGradients(
                    direction -> curvature(points, direction, scratch), penalty, conditioner)
                .solve(slope, settings.iterations(), scratch);
        PtNDArray next = null;
        double reached = divergence;
        for (double length = 1; next == null && length > SMALLEST_STEP; length /= 2) {
          PtNDArray tried = moved(queries, change, length);
          reached = divergence(fit, tried);
          if (reached < divergence) {
            next = tried;
          } else {
            tried.close();
          }
        }
        if (next == null) {
          break;
        }
        queries = next;
        divergence = reached;
      }
    }
    List<Windows> judges = judging.isEmpty() ? fit : judging;
    double before = divergence(judges, start);
    double after = divergence(judges, queries);
    return before > ROUNDING_ERROR && after < before
        ? new Result(projection(queries, owner), before, after)
        : new Result(null, before, before);
  }

  @Override
  public void close() {
    manager.close();
  }

  /** The batches at the present queries; adds what these should change by to the slope. */
  private List<Point> points(
      PtNDArray queries, boolean first, PtNDArray slope, PtNDManager scratch) {
    List<Point> points = new ArrayList<>();
    for (Windows windows : fit) {
      try (PtNDArray given = attention(windows, queries);
          IValue wanted = IValue.from(windows.wanted());
          IValue present = IValue.from(given);
          IValue isFirst = IValue.from(first ? 1L : 0L);
          IValue inputs = IValue.from(windows.inputs());
          IValue keys = IValue.from(windows.keys());
          IValue positions = IValue.from(windows.positions());
          IValue matrix = IValue.from(queries)) {
        PtNDArray gains = call.run(scratch, "query_gains", inputs, matrix);
        try (PtNDArray residual =
                call.runPlain(scratch, "query_residual", wanted, present, isFirst);
            IValue apart = IValue.from(residual);
            IValue sizes = IValue.from(gains);
            PtNDArray part =
                call.runOnNumbers(scratch, "query_slope", apart, inputs, sizes, keys, positions)) {
          slope.addi(part);
        }
        points.add(
            new Point(windows, gains, first ? windows.wanted() : mean(given, windows, scratch)));
      }
    }
    return points;
  }

  private static PtNDArray mean(PtNDArray given, Windows windows, PtNDManager scratch) {
    try (NDArray sum = given.add(windows.wanted())) {
      NDArray mean = sum.mul(0.5f);
      mean.attach(scratch);
      return (PtNDArray) mean;
    }
  }

  /** The mean of the curvature's diagonal, estimated with signs drawn with a fixed seed. */
  private double meanCurvature(List<Point> points, PtNDManager scratch) {
    try (PtNDArray probe = signs(start.getShape(), scratch);
        PtNDArray product = curvature(points, probe, scratch)) {
      return ConjugateGradients.dot(probe, product) / start.size();
    }
  }

  /** 1 or -1, the same ones in each run. */
  private static PtNDArray signs(Shape shape, PtNDManager scratch) {
    Random random = new Random(0);
    float[] signs = new float[Math.toIntExact(shape.size())];
    for (int index = 0; index < signs.length; index++) {
      signs[index] = random.nextBoolean() ? 1 : -1;
    }
    return (PtNDArray) scratch.create(signs, shape);
  }

  private QueryConditioner conditioner(List<Point> points, double damping, PtNDManager scratch) {
    Shape oneHead = new Shape(queryHeads, headSize, headSize);
    try (PtNDArray sum = (PtNDArray) scratch.zeros(oneHead, DataType.FLOAT32)) {
      for (Point point : points) {
        PtNDArray positions = point.windows().positions();
        Shape rows = new Shape(positions.size(), point.windows().keys().getShape().get(2));
        try (NDArray signs = signs(rows, scratch);
            IValue weights = IValue.from(point.weights());
            IValue draw = from(signs);
            IValue gains = IValue.from(point.gains());
            IValue keys = IValue.from(point.windows().keys());
            IValue at = IValue.from(positions);
            PtNDArray part =
                call.runOnNumbers(scratch, "query_blocks", weights, draw, gains, keys, at)) {
          sum.addi(part);
        }
      }
      return QueryConditioner.of(call, sum, eigenOfInputs(), tokens(), damping, scratch);
    }
  }

  /** The inputs stay the same in all steps. */
  private PtNDArray eigenOfInputs() {
    if (inputs == null) {
      long columns = start.getShape().get(1);
      try (PtNDArray gram =
          (PtNDArray) manager.zeros(new Shape(columns, columns), DataType.FLOAT32)) {
        for (Windows windows : fit) {
          try (IValue matrix = IValue.from(windows.inputs());
              PtNDArray part = call.runPlain(manager, "query_gram", matrix)) {
            gram.addi(part);
          }
        }
        inputs = QueryConditioner.eigen(call, gram, manager);
      }
    }
    return inputs;
  }

  private long tokens() {
    return fit.stream()
        .mapToLong(windows -> windows.inputs().size() / start.getShape().get(1))
        .sum();
  }

  private PtNDArray curvature(List<Point> points, PtNDArray direction, PtNDManager scratch) {
    PtNDArray sum = (PtNDArray) scratch.zeros(start.getShape(), DataType.FLOAT32);
    for (Point point : points) {
      try (IValue change = IValue.from(direction);
          IValue weights = IValue.from(point.weights());
          IValue inputs = IValue.from(point.windows().inputs());
          IValue gains = IValue.from(point.gains());
          IValue keys = IValue.from(point.windows().keys());
          IValue positions = IValue.from(point.windows().positions());
          PtNDArray part =
              call.runOnNumbers(
                  scratch, "query_curvature", change, weights, inputs, gains, keys, positions)) {
        sum.addi(part);
      }
    }
    return sum;
  }

  /** Nats a token and head. */
  private double divergence(List<Windows> batches, PtNDArray queries) {
    double sum = 0;
    long rows = 0;
    for (Windows windows : batches) {
      try (PtNDArray given = attention(windows, queries);
          IValue wanted = IValue.from(windows.wanted());
          IValue present = IValue.from(given);
          PtNDArray part = call.runPlain(manager, "query_divergence", wanted, present)) {
        sum += part.getDouble();
        rows += windows.rows();
      }
    }
    return sum / rows;
  }

  private PtNDArray attention(Windows windows, PtNDArray queries) {
    try (IValue inputs = IValue.from(windows.inputs());
        IValue matrix = IValue.from(queries);
        IValue keys = IValue.from(windows.keys());
        IValue positions = IValue.from(windows.positions())) {
      return call.runTurned(manager, "query_attention", inputs, matrix, keys, positions);
    }
  }

  private PtNDArray moved(PtNDArray queries, PtNDArray change, double length) {
    try (NDArray step = change.mul(length)) {
      return owned(queries.add(step));
    }
  }

  private Projection projection(PtNDArray queries, NDManager owner) {
    long inputs = queries.getShape().get(1) - (biased ? 1 : 0);
    try (NDArray weight = queries.get(":, 0:" + inputs)) {
      NDArray matrix = weight.duplicate();
      matrix.attach(owner);
      if (!biased) {
        return new Projection(matrix, owner.zeros(new Shape(queries.getShape().get(0))));
      }
      try (NDArray column = queries.get(":, " + inputs)) {
        NDArray bias = column.duplicate();
        bias.attach(owner);
        return new Projection(matrix, bias);
      }
    }
  }

  private PtNDArray owned(PtNDArray tensor) {
    tensor.attach(manager);
    return tensor;
  }

  private static IValue from(NDArray tensor) {
    return IValue.from((PtNDArray) tensor);
  }
}
