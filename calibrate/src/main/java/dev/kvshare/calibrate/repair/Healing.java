package dev.kvshare.calibrate.repair;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.Distillation;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.plan.Plan;
import java.util.Collections;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * A short training behind a repair: weights from the first reduced layer on are changed along the
 * gradient of the divergence KL(unshared || shared) on the windows that the repair was fitted to.
 * The best weights by the divergence on validation windows are kept; these are the repair's own
 * when no others are better. Equal input gives equal weights, on one machine with one number of
 * threads.
 */
public final class Healing {
  private static final long SEED = 17;

  private final Decoder decoder;
  private final HealingSettings settings;

  /** Told about progress. */
  public interface Listener {
    /**
     * After each step.
     *
     * @param step counted from 1
     * @param divergence mean divergence on the windows of the step, in nats
     */
    void done(int step, double divergence);
  }

  /** Healing of repairs of one model; it closes nothing. */
  public Healing(Decoder decoder, HealingSettings settings) {
    this.decoder = decoder;
    this.settings = settings;
  }

  /**
   * Trains the weights of a repaired map.
   *
   * @param repaired stays as it is
   * @param windows those of the repair
   * @return to be closed by the caller
   */
  public RepairOutcome heal(RepairOutcome repaired, RepairPassages windows, Listener listener) {
    Plan plan = repaired.plan();
    SortedMap<String, NDArray> start =
        repaired.improves() ? repaired.tensors() : Collections.emptySortedMap();
    List<int[]> judging = windows.validation().isEmpty() ? windows.fit() : windows.validation();
    try (QualityJudge judge = judge(judging.subList(0, judgedWindows(judging)));
        Best best = new Best(plan, start, judge)) {
      try (Distillation distillation = begin(plan, start)) {
        PassageOrder order = new PassageOrder(windows.fit(), SEED);
        for (int step = 0; step < settings.steps(); step++) {
          double divergence = add(distillation, order.next(settings.windowsPerStep()));
          distillation.step(settings.rate(step));
          listener.done(step + 1, divergence);
          if (settings.judgesBehind(step)) {
            best.offer(distillation);
          }
        }
      }
      try (QualityJudge all = judge(judging)) {
        return repaired.healed(
            decoder, settings.steps(), best.tensors, quality(all, plan, best.tensors));
      }
    }
  }

  /** The weights with the least divergence so far; no others are kept. */
  private final class Best implements AutoCloseable {
    private final Plan plan;
    private final SortedMap<String, NDArray> start;
    private final QualityJudge judge;
    private NDManager manager = decoder.newManager();
    private SortedMap<String, NDArray> tensors;
    private double divergence;

    Best(Plan plan, SortedMap<String, NDArray> start, QualityJudge judge) {
      this.plan = plan;
      this.start = start;
      this.judge = judge;
      this.tensors = start;
      this.divergence = quality(judge, plan, start).divergence().mean();
    }

    void offer(Distillation distillation) {
      NDManager loser = decoder.newManager();
      try {
        SortedMap<String, NDArray> trained = new TreeMap<>(start);
        trained.putAll(distillation.weights(loser));
        double found = quality(judge, plan, trained).divergence().mean();
        if (found < divergence) {
          NDManager winner = loser;
          loser = manager;
          manager = winner;
          tensors = trained;
          divergence = found;
        }
      } finally {
        loser.close();
      }
    }

    @Override
    public void close() {
      manager.close();
    }
  }

  private RepairQuality quality(QualityJudge judge, Plan plan, SortedMap<String, NDArray> tensors) {
    try (WeightOverrides overrides = decoder.newOverrides(tensors)) {
      return judge.quality(new CacheOptions(plan, overrides));
    }
  }

  private Distillation begin(Plan plan, SortedMap<String, NDArray> start) {
    try (WeightOverrides overrides = decoder.newOverrides(start)) {
      return decoder.newDistillation(plan, overrides, settings.roles());
    }
  }

  /** Adds the gradient of the mean divergence on some windows, which it gives. */
  private double add(Distillation distillation, List<int[]> windows) {
    long tokens = windows.stream().mapToLong(window -> window.length).sum();
    double sum = 0;
    for (PassageBatch batch : batches(windows)) {
      try (NDManager scratch = decoder.newManager()) {
        sum += distillation.add(batch.ids(scratch), tokens);
      }
    }
    return sum / tokens;
  }

  private QualityJudge judge(List<int[]> windows) {
    return QualityJudge.of(decoder, batches(windows));
  }

  private List<PassageBatch> batches(List<int[]> windows) {
    int longest = windows.stream().mapToInt(window -> window.length).max().orElseThrow();
    return PassageBatch.of(
        new RepairPassages(windows, List.of()), longest * settings.windowsAtOnce());
  }

  private int judgedWindows(List<int[]> windows) {
    int count = 0;
    long tokens = 0;
    while (count < windows.size() && tokens < settings.judgedTokens()) {
      tokens += windows.get(count).length;
      count++;
    }
    return count;
  }
}
