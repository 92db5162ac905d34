package dev.kvshare.eval.experiment;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.CalibrationResult;
import dev.kvshare.calibrate.CalibrationText;
import dev.kvshare.calibrate.capture.CalibrationListener.Phase;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.eval.EvaluationReport;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.experiment.Comparison.Measured;
import dev.kvshare.eval.experiment.Comparison.OnText;
import dev.kvshare.eval.experiment.ResultFolder.Results;
import dev.kvshare.eval.quality.EvaluationException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Many plans of one model side by side, each as it is and with refitted weights, on one or several
 * texts. With a folder, policies and measurements are kept there after each trial: a run that was
 * killed goes on, and another one adds texts, plans or the speed. What was made with another model,
 * number format, form of weights, device or repair text is never mixed in.
 */
public final class Experiment {
  /** Most tokens of the text that weights are fitted to unless told otherwise. */
  public static final int REPAIR_TOKENS = 20_000;

  private final Evaluator evaluator;
  private final List<EvaluatedPolicy> given;
  private final CalibrationText passages;
  private List<Trial> trials = List.of();
  private List<Corpus> texts = List.of();
  private Corpus repairText;
  private int repairTokens;
  private Path folder;
  private Consumer<String> listener = name -> {};

  /** What was made of each plan in this run, for other trials that come to the same plan. */
  private final Map<Plan, Made> alike = new HashMap<>();

  /**
   * A plan to try.
   *
   * @param name of its row and files, unlike all others
   * @param method how it is found
   * @param size layers that are to be reduced
   * @param search gives the policy, not repaired; run where no folder has it
   */
  public record Trial(String name, String method, int size, Supplier<Policy> search) {}

  /**
   * A policy and what was measured of it.
   *
   * @param rows what is measured: the policy, and behind it the same as repaired
   * @param fresh whether it was made in this run
   */
  private record Made(List<EvaluatedPolicy> rows, Results results, boolean fresh) {
    Policy policy() {
      return rows.get(0).policy();
    }
  }

  private Experiment(Evaluator evaluator) {
    this.evaluator = evaluator;
    this.given = evaluator.policies();
    this.passages = new CalibrationText(evaluator.model());
  }

  /**
   * An experiment that measures by this evaluator: as it cuts texts, under its cache policies. The
   * policies that it has are measured as they are, before the trials. It must be used by nothing
   * else meanwhile.
   */
  public static Experiment of(Evaluator evaluator) {
    return new Experiment(evaluator);
  }

  /** Sets the texts to measure on. */
  public Experiment texts(List<Corpus> read) {
    texts = List.copyOf(read);
    return this;
  }

  /**
   * Measures each trial repaired too, where that is possible and helps.
   *
   * @param text what weights are fitted to; null for no repair
   * @param tokens most tokens read of it
   */
  public Experiment repair(Corpus text, int tokens) {
    repairText = text;
    repairTokens = tokens;
    return this;
  }

  /** Sets the plans to try, in the order of the rows. */
  public Experiment trials(List<Trial> tried) {
    trials = List.copyOf(tried);
    return this;
  }

  /** Sets where everything is kept; null to keep nothing. */
  public Experiment folder(Path kept) {
    folder = kept;
    return this;
  }

  /** Sets who is told the name of each trial that was not in the folder as a whole. */
  public Experiment listener(Consumer<String> measured) {
    listener = measured;
    return this;
  }

  /**
   * Measures everything on every text.
   *
   * @throws EvaluationException if the folder is of another experiment, the text of the repair is
   *     too short, or a text does not fit the model
   */
  public Comparison compare() {
    try (ResultFolder kept = open()) {
      return new Comparison(measure(kept, new ArrayList<>()));
    }
  }

  /**
   * Measures everything on the first text, as one table: the unshared model, then each plan and,
   * below it, the same repaired. At the end the speed of all rows is measured in turn, as the
   * evaluator says.
   *
   * @throws EvaluationException as {@link #compare}
   */
  public EvaluationReport table() {
    try (ResultFolder kept = open()) {
      List<EvaluatedPolicy> policies = new ArrayList<>();
      List<Row> rows = new ArrayList<>();
      for (Measured plan : measure(kept, policies)) {
        OnText text = plan.texts().get(0);
        rows.addAll(rows.isEmpty() ? text.unshared() : List.of());
        rows.addAll(text.plain());
        rows.addAll(text.repaired());
      }
      return evaluator.text(texts.get(0)).policies(policies).complete(rows);
    }
  }

  private ResultFolder open() {
    evaluator.baselines(false);
    if (repairText != null && passages.repairPassages(repairText, repairTokens, 0) == null) {
      throw new EvaluationException(
          "The text %s is too short for a repair: %s are needed. Give a longer one by --repair-text, more of it by --repair-tokens, or leave the repair out."
              .formatted(repairText.name(), CalibrationText.shortest()));
    }
    if (folder == null) {
      return ResultFolder.temporary();
    }
    String repair =
        repairText == null
            ? "no repair"
            : "repair %s, %d tokens".formatted(repairText.sha256(), repairTokens);
    return ResultFolder.open(
        folder, List.of("model " + evaluator.model().key(null).line(), repair));
  }

  /**
   * Measures, or takes from the folder.
   *
   * @param policies what is behind the rows of the unshared model is added to it
   */
  private List<Measured> measure(ResultFolder kept, List<EvaluatedPolicy> policies) {
    List<Measured> plans = new ArrayList<>();
    for (EvaluatedPolicy policy : given) {
      Trial trial = new Trial(policy.name(), "given", 0, policy::policy);
      Results results = kept.resultsOrNull(policy.name());
      plans.add(measure(kept, trial, new Made(List.of(policy), results, false)));
      policies.add(policy);
    }
    for (Trial trial : trials) {
      Made made = make(kept, trial);
      plans.add(measure(kept, trial, made));
      policies.addAll(made.rows());
    }
    return plans;
  }

  private Measured measure(ResultFolder kept, Trial trial, Made made) {
    String digest = digest(made.rows());
    Results results = made.results();
    if (results == null || !results.policy().equals(digest)) {
      results = new Results(digest, 0, 0, Map.of());
    }
    List<OnText> onTexts = new ArrayList<>();
    boolean told = made.fresh();
    for (Corpus text : texts) {
      String key = text.sha256() + ", " + evaluator.key();
      if (!results.measured().containsKey(key)) {
        results = results.with(key, evaluator.text(text).policies(made.rows()).quality());
        kept.keep(trial.name(), results);
        told = true;
      }
      List<Row> rows = results.measured().get(key);
      int each = rows.size() / (1 + made.rows().size());
      onTexts.add(
          new OnText(
              text.name(),
              rows.subList(0, each),
              named(rows.subList(each, 2 * each), trial.name()),
              named(rows.subList(2 * each, rows.size()), trial.name() + ", repaired")));
    }
    if (told) {
      listener.accept(trial.name());
    }
    if (trials.contains(trial)) {
      alike.putIfAbsent(made.policy().plan(), new Made(made.rows(), results, false));
    }
    return new Measured(
        trial.name(),
        trial.method(),
        trial.size(),
        made.policy().plan().reducedLayers(),
        results.searchSeconds(),
        results.repairSeconds(),
        onTexts);
  }

  /** Rows that may have been measured for another policy of the same plan. */
  private static List<Row> named(List<Row> rows, String name) {
    return rows.stream().map(row -> row.with(name, row.speed())).toList();
  }

  private static String digest(List<EvaluatedPolicy> rows) {
    EvaluatedPolicy last = rows.get(rows.size() - 1);
    String name = UUID.nameUUIDFromBytes(PolicyFile.toBytes(last.policy())).toString();
    return last.file() == null ? name + " plain" : name;
  }

  /** The policy of a trial from the folder, else searched, repaired and kept there. */
  private Made make(ResultFolder kept, Trial trial) {
    Path file = kept.policy(trial.name());
    Results found = kept.resultsOrNull(trial.name());
    if (found != null && Files.isRegularFile(file)) {
      return new Made(rows(trial, PolicyFile.read(file), file), found, false);
    }
    long start = System.nanoTime();
    Policy policy = trial.search().get();
    long searched = System.nanoTime();
    Made other = alike.get(policy.plan());
    policy =
        other == null
            ? repaired(trial, policy, file)
            : PolicyFile.write(
                validated(policy, other.policy()).withRepair(other.policy().repair()), null, file);
    double repairSeconds = (System.nanoTime() - searched) / 1e9;
    List<EvaluatedPolicy> rows = rows(trial, policy, file);
    Map<String, List<Row>> measured = other == null ? Map.of() : other.results().measured();
    Results results = new Results(digest(rows), (searched - start) / 1e9, repairSeconds, measured);
    kept.keep(trial.name(), results);
    return new Made(rows, results, true);
  }

  private static List<EvaluatedPolicy> rows(Trial trial, Policy policy, Path file) {
    EvaluatedPolicy plain = new EvaluatedPolicy(trial.name(), policy);
    return policy.repair() == null
        ? List.of(plain)
        : List.of(plain, new EvaluatedPolicy(trial.name() + ", repaired", policy, file));
  }

  /** Writes a policy, repaired where it can be. */
  private Policy repaired(Trial trial, Policy policy, Path file) {
    if (repairText == null || policy.plan().reducedLayers() == 0) {
      return PolicyFile.write(policy, null, file);
    }
    CalibrationResult found =
        Calibration.of(evaluator.model())
            .plan(trial.method(), layers -> policy.plan())
            .text(repairText)
            .samples(1) // for the similarity, which a search has measured already
            .repairTokens(repairTokens)
            .recallContext(0)
            .passages(passages)
            .listener(
                progress -> {
                  if (progress.phase() == Phase.REPAIR) {
                    String phase = "refitting " + trial.name();
                    evaluator.listener().onProgress(phase, progress.done(), progress.total());
                  }
                })
            .run();
    return PolicyFile.write(validated(policy, found.policy()), found.weights(), file);
  }

  /** A policy with what the repair of another one of the same plan was found to be worth. */
  private static Policy validated(Policy policy, Policy repaired) {
    if (repaired.validation() == null) {
      return policy;
    }
    return policy.withCalibration(origin -> origin.validation = repaired.validation());
  }
}
