package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.decoder.LayerParts.KeyValues;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.repair.fit.Fits;
import dev.kvshare.calibrate.repair.fit.ProjectionFit;
import dev.kvshare.calibrate.repair.fit.ProjectionFit.FittedPart;
import dev.kvshare.calibrate.repair.fit.QueryFit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/**
 * One pass over the layers under a plan: at each layer from the first reduced one on, the inputs of
 * its projections are what the repaired layers below give, and the projections are fitted before
 * the pass goes on. Letters: B passages, T tokens, N tokens of all batches, E hidden size, L
 * layers.
 *
 * <p>Memory beside the reference: the stream of N tokens; keys and values of the layers that others
 * still read; inputs of one projection up to a limit.
 */
final class LayerwiseRepair implements AutoCloseable {

  /** What all passes over the same passages have in common. */
  record Setting(
      Decoder decoder,
      Fits fits,
      List<RepairPassages.Batch> batches,
      ReferenceStream reference,
      RepairSettings settings,
      long maxKeptBytes) {

    Setting withoutFits() {
      return new Setting(decoder, fits, batches, reference, RepairSettings.NONE, maxKeptBytes);
    }

    /** Tokens that judge queries, as a part of those that these are fitted to. */
    private static final int JUDGING_PART = 4;

    /** Queries are fitted to, or judged by, every so many-th token of the passages. */
    int queryStride(boolean validation) {
      long tokens =
          batches.stream()
              .filter(batch -> batch.validation() == validation)
              .mapToLong(batch -> (long) batch.size() * batch.tokens())
              .sum();
      long most = Math.max(1, settings.queries().tokens() / (validation ? JUDGING_PART : 1));
      return Math.toIntExact(Math.max(1, (tokens + most - 1) / most));
    }
  }

  private final Setting setting;
  private final LayerParts parts;
  private final Plan plan;
  private final SharingMap map;
  private final int firstReduced;
  private final int lastFitted;
  private final NDManager manager;
  private final NDArray[][] streams;
  private final KeyValues[][] caches;
  private final List<Map<Part, Projection>> projections = new ArrayList<>();
  private final List<FittedPart> reports = new ArrayList<>();
  private final Projection[] queries;

  /** A pass that has not begun. */
  LayerwiseRepair(Setting setting, Plan plan) {
    this.setting = setting;
    this.parts = setting.decoder().parts(plan);
    this.plan = plan;
    this.map = plan.map();
    this.firstReduced = firstReduced(plan);
    this.lastFitted = lastFitted();
    this.manager = setting.decoder().newManager();
    this.streams = new NDArray[map.layers() + 1][setting.batches().size()];
    this.caches = new KeyValues[map.layers()][setting.batches().size()];
    this.queries = new Projection[map.layers()];
    for (int layer = 0; layer < map.layers(); layer++) {
      projections.add(new EnumMap<>(Part.class));
    }
  }

  /** Runs to the top; {@code done} is told the number of layers that are done, after each. */
  void run(IntConsumer done) {
    for (int layer = 0; layer < map.layers(); layer++) {
      if (layer < firstReduced) {
        follow(layer);
      } else {
        repair(layer);
      }
      done.accept(layer + 1);
    }
  }

  Plan plan() {
    return plan;
  }

  /** The stream behind the last layer, before the final norm [B, T, E]. */
  NDArray last(int batch) {
    return stream(map.layers(), batch);
  }

  /** The fits of all layers, bottom first. */
  List<FittedPart> reports() {
    return List.copyOf(reports);
  }

  /** The projections that were replaced, by layer; they belong to this pass. */
  List<Map<Part, Projection>> projections() {
    return projections;
  }

  /** The queries of a layer that were fitted, with the same owner; null for the checkpoint's. */
  Projection queries(int layer) {
    return queries[layer];
  }

  @Override
  public void close() {
    parts.close();
    manager.close();
  }

  /** A layer below the first reduced one: the reference's stream, and its keys and values. */
  private void follow(int layer) {
    for (int batch = 0; batch < setting.batches().size(); batch++) {
      NDArray x = setting.reference().step(batch, layer, Part.ATTENTION).x();
      if (lastReader(layer) > layer) {
        KeyValues own = owned(layer, batch, x);
        parts.heads(layer, x, own, true).close();
      }
      setting.reference().release(batch, layer, Part.ATTENTION);
      setting.reference().step(batch, layer, Part.FEED_FORWARD);
      setting.reference().release(batch, layer, Part.FEED_FORWARD);
    }
  }

  private void repair(int layer) {
    int batches = setting.batches().size();
    NDArray[] before = new NDArray[batches];
    for (int batch = 0; batch < batches; batch++) {
      before[batch] = isNeeded(layer, batch) ? stream(layer, batch) : null;
    }
    // Beside a window of the plan the checkpoint's queries stay.
    if (setting.settings().queries().steps() > 0
        && !map.ownsCache(layer)
        && !plan.windowedLayers().contains(layer)) {
      fitQueries(layer, before);
    }
    NDArray[] between = part(layer, Part.ATTENTION, before, before);
    forgetCaches(layer);
    NDArray[] after = part(layer, Part.FEED_FORWARD, before, between);
    for (int batch = 0; batch < batches; batch++) {
      if (between[batch] != null) {
        between[batch].close();
      }
      streams[layer + 1][batch] = after[batch];
      if (streams[layer][batch] != null) {
        streams[layer][batch].close();
        streams[layer][batch] = null;
      }
    }
  }

  /**
   * Fits the queries of a layer to the keys that it reads; those of the checkpoint stay where
   * others do not bring it nearer.
   *
   * @param before the stream before the layer [B, T, E] of each batch
   */
  private void fitQueries(int layer, NDArray[] before) {
    try (NDManager scratch = setting.decoder().newManager();
        QueryFit fit = setting.fits().newQueries(layer, scratch)) {
      for (int batch = 0; batch < before.length; batch++) {
        boolean judges = setting.batches().get(batch).validation();
        fit.add(
            setting.reference().step(batch, layer, Part.ATTENTION).x(),
            before[batch],
            caches[map.source(layer)][batch].keys(),
            setting.queryStride(judges),
            judges);
      }
      queries[layer] = fit.solve(setting.settings().queries(), manager).queries();
    }
  }

  /** Fits one part where that is wanted, and gives the streams behind it. */
  private NDArray[] part(int layer, Part part, NDArray[] before, NDArray[] x) {
    int batches = setting.batches().size();
    NDArray[] entering = new NDArray[batches];
    NDArray[] behind = new NDArray[batches];
    boolean fitted = isFitted(layer, part);
    long keptBytes = 0;
    try (NDManager scratch = setting.decoder().newManager()) {
      ProjectionFit fit =
          fitted
              ? new ProjectionFit(
                  setting.decoder(), setting.fits(), scratch, layer, part, hasOwn(layer, part))
              : null;
      for (int batch = 0; batch < batches && fitted; batch++) {
        ReferenceStream.Step reference = setting.reference().step(batch, layer, part);
        NDArray inputs = entering(layer, part, batch, before[batch], x[batch]);
        fit.add(
            inputs,
            x[batch],
            reference.x(),
            reference.projected(),
            setting.batches().get(batch).validation());
        keptBytes += inputs.size() * Float.BYTES;
        if (keptBytes <= setting.maxKeptBytes()) {
          entering[batch] = inputs;
        } else {
          inputs.close();
        }
      }
      Projection projection = fitted ? choose(fit, layer, part) : null;
      for (int batch = 0; batch < batches; batch++) {
        setting.reference().step(batch, layer, part);
        setting.reference().release(batch, layer, part);
        if (!isNeeded(layer, batch)) {
          continue;
        }
        NDArray inputs =
            entering[batch] != null
                ? entering[batch]
                : entering(layer, part, batch, before[batch], x[batch]);
        try (inputs;
            NDArray projected =
                projection == null
                    ? parts.project(layer, part, inputs)
                    : parts.project(projection, inputs)) {
          behind[batch] = parts.add(layer, part, x[batch], projected);
          behind[batch].attach(manager);
        }
      }
    }
    return behind;
  }

  /** Passages that only make fits end where the last fit is made. */
  private boolean isNeeded(int layer, int batch) {
    return layer <= lastFitted || setting.batches().get(batch).validation();
  }

  /** The highest layer with a fit; the top where all passages judge. */
  private int lastFitted() {
    int top = map.layers() - 1;
    if (setting.settings().scope() == RepairSettings.Scope.FROM_FIRST_SHARED
        || setting.batches().stream().noneMatch(RepairPassages.Batch::validation)) {
      return top;
    }
    return IntStream.rangeClosed(0, top).filter(plan::isReduced).max().orElse(0);
  }

  private Projection choose(ProjectionFit fit, int layer, Part part) {
    try (fit) {
      ProjectionFit.Choice choice = fit.choose(setting.settings().strengths());
      reports.add(choice.report());
      if (choice.projection() != null) {
        own(choice.projection());
        projections.get(layer).put(part, choice.projection());
      }
      return choice.projection();
    }
  }

  private NDArray entering(int layer, Part part, int batch, NDArray before, NDArray x) {
    if (part == Part.FEED_FORWARD) {
      boolean parallel =
          setting.decoder().spec().blocks().get(layer).placement() == Placement.PARALLEL;
      return parts.inner(layer, parallel ? before : x, x);
    }
    if (map.ownsCache(layer)) {
      return parts.heads(layer, x, owned(layer, batch, x), true);
    }
    KeyValues cache = caches[map.source(layer)][batch];
    return parts.headsWith(queries[layer], layer, x, cache, hasOwn(layer, part));
  }

  private KeyValues own(KeyValues cacheOrNull) {
    if (cacheOrNull != null) {
      cacheOrNull.keys().attach(manager);
      cacheOrNull.values().attach(manager);
    }
    return cacheOrNull;
  }

  private void own(Projection projection) {
    projection.weight().attach(manager);
    projection.bias().attach(manager);
  }

  private boolean hasOwn(int layer, Part part) {
    return part == Part.ATTENTION
        && setting.settings().ownToken()
        && !map.ownsCache(layer)
        && isFitted(layer, part);
  }

  private boolean isFitted(int layer, Part part) {
    return setting.settings().parts().contains(part)
        && parts.hasProjection(layer, part)
        && (setting.settings().scope() == RepairSettings.Scope.FROM_FIRST_SHARED
            || plan.isReduced(layer));
  }

  /** The stream before a layer, this pass's or the reference's. */
  private NDArray stream(int layer, int batch) {
    if (streams[layer][batch] == null && layer <= firstReduced) {
      return layer == map.layers()
          ? setting.reference().last(batch)
          : copy(layer, batch, setting.reference().step(batch, layer, Part.ATTENTION).x());
    }
    return streams[layer][batch];
  }

  /** The reference may let go of its stream while this pass still needs it. */
  private NDArray copy(int layer, int batch, NDArray x) {
    streams[layer][batch] = x.duplicate();
    streams[layer][batch].attach(manager);
    return streams[layer][batch];
  }

  private KeyValues owned(int layer, int batch, NDArray x) {
    if (caches[layer][batch] == null) {
      caches[layer][batch] = own(parts.newKeyValues(layer, x));
    }
    return caches[layer][batch];
  }

  /** Frees keys and values that no layer above reads. */
  private void forgetCaches(int layer) {
    for (int owner = 0; owner <= layer; owner++) {
      if (lastReader(owner) <= layer) {
        for (KeyValues cache : caches[owner]) {
          if (cache != null) {
            cache.close();
          }
        }
        Arrays.fill(caches[owner], null);
      }
    }
  }

  private int lastReader(int owner) {
    IntPredicate reads = layer -> map.source(layer) == owner;
    return IntStream.range(owner, map.layers()).filter(reads).max().orElse(owner);
  }

  /** L where no layer is reduced. */
  static int firstReduced(Plan plan) {
    int layers = plan.map().layers();
    return IntStream.range(0, layers).filter(plan::isReduced).findFirst().orElse(layers);
  }
}
