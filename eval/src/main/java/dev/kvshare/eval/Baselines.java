package dev.kvshare.eval;

import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.cache.IntegerKv;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Windows;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.format.Table;
import dev.kvshare.eval.quality.Variant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.function.IntUnaryOperator;
import java.util.stream.IntStream;

/**
 * What a policy has to beat: ways to keep at most as many bytes that need no search. Layers with a
 * window keep the first and last tokens.
 *
 * <ul>
 *   <li>{@code spread-low} and {@code spread-high}: windows on layers at a fixed stride, from the
 *       lowest layer up, or to the highest; of half the layers the even or the odd ones
 *   <li>{@code random}: windows on layers drawn by chance, seed 0
 *   <li>{@code streaming}: the first four and as many last tokens in all layers as fit, as
 *       StreamingLLM does (arXiv 2309.17453, section 3.2); positions stay those of the text
 *   <li>{@code int8}, {@code int4}: all keys and values as integers, whatever the bytes of the
 *       policy
 * </ul>
 */
final class Baselines {
  private static final String PREFIX = "baseline ";

  /** Shares of the cache that count as equal. */
  private static final double SLACK = 0.005;

  private final ModelSpec spec;
  private final int length;
  private final Map<String, Variant> found = new LinkedHashMap<>();

  private Baselines(ModelSpec spec, int length) {
    this.spec = spec;
    this.length = length;
  }

  /**
   * The baselines of policies.
   *
   * @param length tokens at which bytes are compared
   */
  static List<Variant> of(ModelSpec spec, List<Plan> policies, int length) {
    Baselines baselines = new Baselines(spec, length);
    policies.forEach(baselines::add);
    if (!policies.isEmpty()) {
      for (KeyValueFormat format :
          List.of(KeyValueFormat.INT8_PER_TOKEN, KeyValueFormat.INT4_PER_TOKEN)) {
        IntegerKv integers = new IntegerKv(format);
        String name = PREFIX + integers.name();
        baselines.found.put(
            integers.name(), new Variant(name, CacheOptions.of(spec.plan()), integers));
      }
    }
    return List.copyOf(baselines.found.values());
  }

  static boolean is(Variant variant) {
    return variant.policy() != null && variant.policy().startsWith(PREFIX);
  }

  private static boolean is(Row row) {
    return row.policy() != null && row.policy().startsWith(PREFIX);
  }

  private void add(Plan policy) {
    long budget = bytes(policy);
    Windows window = policy.windows();
    int first = window == null ? SearchGoals.Window.DEFAULT.first() : window.first();
    int last = window == null ? SearchGoals.Window.DEFAULT.last() : window.last();
    List<Integer> layers =
        IntStream.range(0, spec.layers())
            .filter(layer -> spec.kvUse(spec.plan()).layers().get(layer).window() == 0)
            .boxed()
            .toList();
    int all = layers.size();
    List<Integer> shuffled = new ArrayList<>(layers);
    Collections.shuffle(shuffled, new Random(0));
    IntStream.rangeClosed(1, all)
        .filter(n -> bytes(windows(shuffled.subList(0, n), first, last)) <= budget)
        .findFirst()
        .ifPresent(
            n -> {
              put("spread-low-" + n, windows(pick(layers, n, i -> i * all / n), first, last));
              put(
                  "spread-high-" + n,
                  windows(pick(layers, n, i -> (i + 1) * all / n - 1), first, last));
              put("random-" + n, windows(shuffled.subList(0, n), first, last));
            });
    IntStream.iterate(length - first, tokens -> tokens > 0, tokens -> tokens - 1)
        .filter(tokens -> bytes(windows(layers, first, tokens)) <= budget)
        .findFirst()
        .ifPresent(
            tokens ->
                put("streaming-%d+%d".formatted(first, tokens), windows(layers, first, tokens)));
  }

  private void put(String name, Plan plan) {
    found.putIfAbsent(name, new Variant(PREFIX + name, CacheOptions.of(plan), null));
  }

  private Plan windows(List<Integer> layers, int first, int last) {
    return spec.plan().withWindows(Windows.of(layers, first, last));
  }

  private static List<Integer> pick(List<Integer> layers, int count, IntUnaryOperator place) {
    return IntStream.range(0, count).map(place).mapToObj(layers::get).toList();
  }

  private long bytes(Plan plan) {
    return spec.kvUse(plan).bytes(length, 1);
  }

  /** Says of each policy whether a baseline that keeps no more is nearer to the unshared model. */
  static List<String> words(List<Row> rows) {
    List<String> words = new ArrayList<>();
    if (rows.stream().noneMatch(Baselines::is)) {
      return words;
    }
    for (Row policy : rows) {
      Optional<Row> best =
          rows.stream()
              .filter(row -> is(row) && row.kvFraction() <= policy.kvFraction() + SLACK)
              .min(Comparator.comparingDouble(Row::divergence));
      if (policy.policy() == null || is(policy) || best.isEmpty()) {
        continue;
      }
      Row other = best.get();
      boolean wins = other.divergence() < policy.divergence();
      words.add(
          Table.format(
              "%s: %s keeps %.1f %% of the KV cache at a divergence of %.4f, %s %.1f %% at %.4f.",
              policy.policy(),
              wins
                  ? "a simple baseline wins, " + other.policy().substring(PREFIX.length())
                  : "no baseline that keeps as little is as near to the unshared model, the policy",
              100 * (wins ? other : policy).kvFraction(),
              (wins ? other : policy).divergence(),
              wins
                  ? "the policy"
                  : "the best of them (" + other.policy().substring(PREFIX.length()) + ")",
              100 * (wins ? policy : other).kvFraction(),
              (wins ? policy : other).divergence()));
    }
    return words;
  }
}
