package dev.kvshare.calibrate.repair.fit;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.apply.decoder.LayerScript;
import dev.kvshare.apply.family.spec.AttentionSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;

/**
 * Fits the query projection of a layer to the keys of another one, so that its attention becomes
 * the unshared model's again. Letters: B passages, T tokens, S of them that are fitted to, E hidden
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
 * <p>The gradients are conditioned by an approximate inverse of the curvature, (C (x) A / N +
 * damping)^-1 with the Kronecker factors of K-FAC (Martens and Grosse, arXiv 1503.05671), each a
 * sum over N tokens: A [F, F] of the products of inputs, C [D, D] of the curvature of a head by its
 * queries. The damping is twice the mean curvature. On SmolLM2 that comes to half of the divergence
 * in half as many products with the curvature.
 *
 * <p>Memory for N tokens that are fitted to in passages of T tokens: 3 x N x T x Hq numbers. Made
 * by {@link Fits#newQueries}.
 */
public final class QueryFit implements AutoCloseable {
  private static final double SMALLEST_STEP = 0.2;

  /** A mean divergence that float32 makes by itself: a fit to it is one to noise. */
  private static final double ROUNDING_ERROR = 1e-7;

  /** What is added to the factors of the conditioner, as a multiple of the mean curvature. */
  private static final double DAMPING = 2;

  /** Scores of attention computed at once: they stay in a processor's cache (9 MB). */
  private static final long SCORES_AT_ONCE = 9 << 18;

  private final LayerScript script;
  private final int layer;
  private final NDManager manager;
  private final NDArray start;
  private final boolean biased;
  private final int queryHeads;
  private final int headSize;
  private NDArray inputs;
  private final List<Passages> fit = new ArrayList<>();
  private final List<Passages> judging = new ArrayList<>();

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
   * @param before the mean divergence of a head's attention at a token of the judging passages with
   *     the checkpoint's queries, in nats
   * @param after the same with those found
   */
  public record Result(Projection queries, double before, double after) {}

  /** What a step has of one batch, at positions int64 [S] of each passage. */
  private record Passages(NDArray inputs, NDArray keys, NDArray positions, NDArray wanted) {
    /** What the queries read, and from where. */
    List<NDArray> read() {
      return List.of(keys, positions);
    }

    /** Rows of attention: tokens times query heads. */
    long rows() {
      return wanted.getShape().get(0) * wanted.getShape().get(1);
    }
  }

  /** A batch at the present queries: the gains of their norm, and the weights of the curvature. */
  private record Point(Passages passages, NDArray gains, NDArray weights) {}

  /**
   * The approximate inverse of the curvature.
   *
   * @param blocks of each head the eigenvectors of C and, in one more row, its eigenvalues [Hq, D +
   *     1, D]
   * @param inputs the same of A [F + 1, F]
   */
  private record Conditioner(NDArray blocks, NDArray inputs, double damping) {}

  /**
   * @param weight the checkpoint's projection of queries, keys and values, float32; kept
   * @param bias the same of the biases, null where there are none; kept
   */
  QueryFit(
      LayerScript script,
      int layer,
      AttentionSpec attention,
      NDArray weight,
      NDArray bias,
      NDManager owner) {
    this.script = script;
    this.layer = layer;
    this.manager = owner.newSubManager();
    this.biased = bias != null;
    this.queryHeads = attention.queryHeads();
    this.headSize = attention.headSize();
    String rows = "0:" + (long) queryHeads * headSize;
    try (NDArray queries = weight.get(rows)) {
      if (biased) {
        try (NDArray values = bias.get(rows);
            NDArray column = values.expandDims(1)) {
          this.start = owned(queries.concat(column, 1));
        }
      } else {
        this.start = owned(queries.duplicate());
      }
    }
  }

  /**
   * Adds passages.
   *
   * @param reference the unshared model's residual stream before the layer [B, T, E]
   * @param x the stream before the layer [B, T, E]
   * @param keys of the layer that is read [B, Hkv, T, D]; they outlive the fit
   * @param stride every so many-th token of a passage is fitted to, the first ones taking turns
   * @param judges whether the passages say how good the result is, instead of making it
   */
  public void add(NDArray reference, NDArray x, NDArray keys, int stride, boolean judges) {
    List<Passages> batches = judges ? judging : fit;
    long passages = x.getShape().get(0);
    long tokens = x.getShape().get(1);
    script.prepare(Math.toIntExact(tokens));
    long fitted = (tokens + stride - 1) / stride;
    long atOnce = Math.max(1, SCORES_AT_ONCE / (fitted * tokens * queryHeads));
    for (long low = 0; low < passages; low += atOnce) {
      String rows = low + ":" + Math.min(passages, low + atOnce);
      long first = Math.min(batches.size() % stride, tokens - 1);
      NDArray positions = manager.create(every(first, tokens, stride));
      try (NDArray expected = reference.get(rows);
          NDArray present = x.get(rows)) {
        batches.add(
            new Passages(
                run(manager, "query_inputs", present, positions),
                owned(keys.get(rows)),
                positions,
                run(manager, "query_reference", expected, positions)));
      }
    }
  }

  private static long[] every(long first, long tokens, long stride) {
    return LongStream.iterate(first, position -> position < tokens, position -> position + stride)
        .toArray();
  }

  /** Fits to the passages that do not judge; the result belongs to {@code owner}. */
  public Result solve(Settings settings, NDManager owner) {
    NDArray queries = start;
    double divergence = divergence(fit, queries);
    double curvature = Double.NaN;
    for (int step = 0; step < settings.steps(); step++) {
      try (NDManager scratch = manager.newSubManager()) {
        NDArray slope = scratch.zeros(start.getShape(), DataType.FLOAT32);
        List<Point> points = points(queries, step == 0, slope, scratch);
        if (step == 0) {
          curvature = meanCurvature(points, scratch);
        }
        double penalty = settings.strength() * curvature;
        try (NDArray apart = queries.sub(start);
            NDArray pull = apart.mul(penalty)) {
          slope.subi(pull);
        }
        Conditioner conditioner = conditioner(points, DAMPING * curvature, scratch);
        NDArray change =
            conjugateGradients(points, penalty, conditioner, slope, settings.iterations(), scratch);
        NDArray next = null;
        double reached = divergence;
        for (double length = 1; next == null && length > SMALLEST_STEP; length /= 2) {
          NDArray tried = moved(queries, change, length);
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
    List<Passages> judges = judging.isEmpty() ? fit : judging;
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
  private List<Point> points(NDArray queries, boolean first, NDArray slope, NDManager scratch) {
    List<Point> points = new ArrayList<>();
    for (Passages passages : fit) {
      NDArray inputs = passages.inputs();
      try (NDArray given = attention(passages, queries)) {
        NDArray gains = run(scratch, "query_gains", inputs, queries);
        try (NDArray apart =
                script.run(scratch, "query_residual", passages.wanted(), given, first ? 1 : 0);
            NDArray part = run(scratch, "query_slope", apart, inputs, gains, passages.read())) {
          slope.addi(part);
        }
        points.add(
            new Point(passages, gains, first ? passages.wanted() : mean(given, passages, scratch)));
      }
    }
    return points;
  }

  private static NDArray mean(NDArray given, Passages passages, NDManager scratch) {
    try (NDArray sum = given.add(passages.wanted())) {
      NDArray mean = sum.mul(0.5f);
      mean.attach(scratch);
      return mean;
    }
  }

  /** The mean of the curvature's diagonal, estimated with signs drawn with a fixed seed. */
  private double meanCurvature(List<Point> points, NDManager scratch) {
    try (NDArray signs = signs(start.getShape(), scratch);
        NDArray product = curvature(points, signs, scratch)) {
      return dot(signs, product) / start.size();
    }
  }

  /** 1 or -1, the same ones in each run. */
  private static NDArray signs(Shape shape, NDManager scratch) {
    Random random = new Random(0);
    float[] signs = new float[Math.toIntExact(shape.size())];
    for (int index = 0; index < signs.length; index++) {
      signs[index] = random.nextBoolean() ? 1 : -1;
    }
    return scratch.create(signs, shape);
  }

  /**
   * Solves (curvature + penalty) change = slope by conjugate gradients, the gradients conditioned.
   *
   * @param penalty what is added to the curvature's diagonal
   * @param slope consumed
   * @param scratch owner of the result
   */
  private NDArray conjugateGradients(
      List<Point> points,
      double penalty,
      Conditioner conditioner,
      NDArray slope,
      int iterations,
      NDManager scratch) {
    NDArray change = scratch.zeros(slope.getShape(), DataType.FLOAT32);
    NDArray direction;
    double squares;
    try (NDArray steepest = conditioned(slope, conditioner, scratch)) {
      squares = dot(slope, steepest);
      direction = steepest.duplicate(); // what a script returns cannot be changed in place
    }
    for (int iteration = 0; iteration < iterations && squares > 0; iteration++) {
      try (NDArray product = curvature(points, direction, scratch);
          NDArray ridge = direction.mul(penalty)) {
        product.addi(ridge);
        double length = squares / dot(direction, product);
        try (NDArray step = direction.mul(length);
            NDArray fall = product.mul(length)) {
          change.addi(step);
          slope.subi(fall);
        }
      }
      try (NDArray steepest = conditioned(slope, conditioner, scratch)) {
        double next = dot(slope, steepest);
        direction.muli(next / squares).addi(steepest);
        squares = next;
      }
    }
    return change;
  }

  /** The sum of the products of all elements. */
  private static double dot(NDArray a, NDArray b) {
    try (NDArray products = a.mul(b);
        NDArray sum = products.sum()) {
      return sum.getFloat();
    }
  }

  private NDArray conditioned(NDArray change, Conditioner by, NDManager scratch) {
    return script.run(
        scratch, "query_conditioned", change, by.blocks(), by.inputs(), tokens(), by.damping());
  }

  private Conditioner conditioner(List<Point> points, double damping, NDManager scratch) {
    Shape oneHead = new Shape(queryHeads, headSize, headSize);
    try (NDArray sum = scratch.zeros(oneHead, DataType.FLOAT32)) {
      for (Point point : points) {
        Passages of = point.passages();
        Shape rows = new Shape(of.positions().size(), of.keys().getShape().get(2));
        try (NDArray signs = signs(rows, scratch);
            NDArray part =
                run(scratch, "query_blocks", point.weights(), signs, point.gains(), of.read())) {
          sum.addi(part);
        }
      }
      NDArray blocks = script.run(scratch, "query_eigen", sum);
      return new Conditioner(blocks, eigenOfInputs(), damping);
    }
  }

  /** The inputs stay the same in all steps. */
  private NDArray eigenOfInputs() {
    if (inputs == null) {
      long columns = start.getShape().get(1);
      try (NDArray gram = manager.zeros(new Shape(columns, columns), DataType.FLOAT32)) {
        for (Passages passages : fit) {
          try (NDArray part = script.run(manager, "query_gram", passages.inputs())) {
            gram.addi(part);
          }
        }
        inputs = script.run(manager, "query_eigen", gram);
      }
    }
    return inputs;
  }

  private long tokens() {
    return fit.stream()
        .mapToLong(passages -> passages.inputs().size() / start.getShape().get(1))
        .sum();
  }

  private NDArray curvature(List<Point> points, NDArray direction, NDManager scratch) {
    NDArray sum = scratch.zeros(start.getShape(), DataType.FLOAT32);
    for (Point point : points) {
      Passages passages = point.passages();
      List<NDArray> at = List.of(point.weights(), passages.inputs(), point.gains());
      try (NDArray part = run(scratch, "query_curvature", direction, at, passages.read())) {
        sum.addi(part);
      }
    }
    return sum;
  }

  /** Nats a token and head. */
  private double divergence(List<Passages> batches, NDArray queries) {
    double sum = 0;
    long rows = 0;
    for (Passages passages : batches) {
      try (NDArray given = attention(passages, queries);
          NDArray part = script.run(manager, "query_divergence", passages.wanted(), given)) {
        sum += part.getDouble();
        rows += passages.rows();
      }
    }
    return sum / rows;
  }

  private NDArray attention(Passages passages, NDArray queries) {
    return run(manager, "query_attention", passages.inputs(), queries, passages.read());
  }

  private NDArray moved(NDArray queries, NDArray change, double length) {
    try (NDArray step = change.mul(length)) {
      return owned(queries.add(step));
    }
  }

  private Projection projection(NDArray queries, NDManager owner) {
    long columns = queries.getShape().get(1) - (biased ? 1 : 0);
    return new Projection(
        copy(queries, ":, 0:" + columns, owner),
        biased
            ? copy(queries, ":, " + columns, owner)
            : owner.zeros(new Shape(queries.getShape().get(0))));
  }

  private static NDArray copy(NDArray tensor, String part, NDManager owner) {
    try (NDArray view = tensor.get(part)) {
      NDArray copy = view.duplicate();
      copy.attach(owner);
      return copy;
    }
  }

  private NDArray run(NDManager owner, String method, Object... arguments) {
    return script.run(layer, owner, method, arguments);
  }

  private NDArray owned(NDArray tensor) {
    tensor.attach(manager);
    return tensor;
  }
}
