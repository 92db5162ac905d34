package dev.kvshare.eval;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.policy.PolicyException;
import dev.kvshare.eval.quality.Variant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * The rows of a report, the unshared model first, and what has to be run for them: rows that run in
 * the same way, as those of two schemes that give the same map, are measured once. Closing it frees
 * the refitted weights.
 */
final class Variants implements AutoCloseable {
  final List<Variant> rows = new ArrayList<>();

  /** What is measured; the first is the unshared model. */
  final List<Variant> distinct = new ArrayList<>();

  /** For each row the place in {@link #distinct} of what it shows. */
  final List<Integer> places = new ArrayList<>();

  private final Decoder decoder;
  private final List<EvaluatedPolicy> policies;
  private final List<CachePolicy> caches;
  private final Map<Variant, Integer> nameless = new HashMap<>();
  private final List<WeightOverrides> weights = new ArrayList<>();

  /**
   * Reads the refitted weights of the policies.
   *
   * @param caches cache policies that each plan has besides the whole cache
   */
  Variants(Decoder decoder, List<EvaluatedPolicy> policies, List<CachePolicy> caches) {
    this.decoder = decoder;
    this.policies = policies;
    this.caches = caches;
    try {
      add(null, CacheOptions.of(decoder.spec().plan()));
      for (EvaluatedPolicy evaluated : policies) {
        WeightOverrides refitted = evaluated.openWeights(decoder);
        weights.add(refitted);
        add(evaluated.name(), new CacheOptions(evaluated.policy().plan(), refitted));
      }
    } catch (RuntimeException | Error e) {
      close();
      throw e;
    }
  }

  /** Adds the baselines of the plans that this model can run, with so many tokens kept at most. */
  void addBaselines(int length, Prefill prefill) {
    List<Plan> plans = policies.stream().map(policy -> policy.policy().plan()).toList();
    Baselines.of(decoder.spec(), plans, length).stream()
        .map(each -> each.with(prefill))
        .filter(this::runs)
        .forEach(this::add);
  }

  private boolean runs(Variant baseline) {
    try (DecodingCache cache = baseline.newCache(decoder, 1, 1)) {
      return cache.batch() == 1;
    } catch (PolicyException e) {
      return false; // This model cannot be run with such windows, or with integers.
    }
  }

  private void add(String name, CacheOptions options) {
    add(new Variant(name, options, null));
    caches.forEach(cache -> add(new Variant(name, options, cache)));
  }

  private void add(Variant row) {
    rows.add(row);
    Variant run = new Variant(null, row.options(), row.cachePolicy());
    Integer known = nameless.putIfAbsent(run, distinct.size());
    places.add(known == null ? distinct.size() : known);
    if (known == null) {
      distinct.add(row);
    }
  }

  @Override
  public void close() {
    weights.stream().filter(Objects::nonNull).forEach(WeightOverrides::close);
  }
}
