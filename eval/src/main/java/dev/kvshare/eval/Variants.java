package dev.kvshare.eval;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.plan.Plan;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The rows of a report, and what has to be run for them: rows that run in the same way, as those of
 * two schemes that give the same map, are measured once.
 */
final class Variants {
  /** What tells two ways to run a model apart. */
  private record Way(CacheOptions options, CachePolicy cachePolicy) {}

  private final List<Variant> rows;
  private final List<Variant> distinct;
  private final List<Integer> places;

  private Variants(List<Variant> rows) {
    this.rows = List.copyOf(rows);
    Map<Way, Integer> found = new LinkedHashMap<>();
    List<Variant> kept = new ArrayList<>();
    this.places = new ArrayList<>();
    for (Variant row : rows) {
      Way way = new Way(row.options(), row.cachePolicy());
      if (!found.containsKey(way)) {
        found.put(way, kept.size());
        kept.add(row);
      }
      places.add(found.get(way));
    }
    this.distinct = kept;
  }

  /**
   * The unshared model, then each policy of a request, with the cache that keeps everything and
   * with each cache policy.
   *
   * @param unshared the model's own plan
   */
  static Variants of(Plan unshared, EvaluationRequest request) {
    List<CachePolicy> caches = new ArrayList<>();
    caches.add(null);
    if (request.caches() != null) {
      caches.addAll(request.caches().policies());
    }
    List<Variant> rows = new ArrayList<>();
    for (CachePolicy cache : caches) {
      rows.add(new Variant(null, CacheOptions.of(unshared), cache));
    }
    for (EvaluatedPolicy evaluated : request.policies()) {
      for (CachePolicy cache : caches) {
        rows.add(new Variant(evaluated.name(), evaluated.options(), cache));
      }
    }
    return new Variants(rows);
  }

  /** The rows in their order. */
  List<Variant> rows() {
    return rows;
  }

  /** What is measured; the first is the unshared model. */
  List<Variant> distinct() {
    return distinct;
  }

  /** The place in {@link #distinct} of what a row shows. */
  int place(int row) {
    return places.get(row);
  }
}
