package dev.kvshare.eval.experiment;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.Provenance;
import dev.kvshare.calibrate.CalibrationText;
import dev.kvshare.calibrate.repair.Repair;
import dev.kvshare.calibrate.repair.RepairOutcome;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.repair.RepairedPolicy;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.EvaluationPassages;
import dev.kvshare.eval.EvaluatedPolicy;
import dev.kvshare.eval.EvaluationReport;
import dev.kvshare.eval.EvaluationReport.Row;
import dev.kvshare.eval.Evaluator;
import dev.kvshare.eval.experiment.Comparison.Measured;
import dev.kvshare.eval.experiment.Comparison.OnText;
import dev.kvshare.eval.experiment.ResultFolder.Results;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.speed.SpeedMeter;
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

  private final LoadedModel model;
  private final List<EvaluatedPolicy> given = new ArrayList<>();
  private final List<Trial> trials = new ArrayList<>();
  private List<Corpus> texts = List.of();
  private EvaluationPassages cut =
      new EvaluationPassages(Evaluator.PASSAGE_TOKENS, Evaluator.PASSAGES);
  private List<CachePolicy> caches = List.of();
  private int cachePrompt;
  private Corpus repairText;
  private int repairTokens;
  private Path folder;
  private Datasets datasets = Datasets.ofUser(System.getenv());
  private QualityMeter.Listener listener = QualityMeter.Listener.SILENT;
  private Consumer<String> measured = name -> {};

  /** What was measured of each plan and text in this run, for others that come to the same plan. */
  private final Map<Plan, Made> alike = new HashMap<>();

  private final Map<Boolean, RepairPassages> passages = new HashMap<>();

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
   * @param policy with its refitted weights if it has any
   * @param results null for nothing
   * @param fresh whether it was made in this run
   */
  private record Made(EvaluatedPolicy policy, Results results, boolean fresh) {}

  private Experiment(LoadedModel model) {
    this.model = model;
  }

  /** An experiment with this model, which stays open. */
  public static Experiment of(LoadedModel model) {
    return new Experiment(model);
  }

  /** The texts to measure on. */
  public Experiment texts(List<Corpus> read) {
    texts = List.copyOf(read);
    return this;
  }

  /** How each text is cut, as {@link Evaluator#passages}. */
  public Experiment passages(int count, int tokens) {
    cut = new EvaluationPassages(tokens, count);
    return this;
  }

  /** As {@link Evaluator#caches}. */
  public Experiment caches(List<CachePolicy> cachePolicies, int promptTokens) {
    caches = List.copyOf(cachePolicies);
    cachePrompt = promptTokens;
    return this;
  }

  /**
   * Measures each trial repaired too, where that is possible and helps.
   *
   * @param text what weights are fitted to
   * @param tokens most tokens read of it
   */
  public Experiment repair(Corpus text, int tokens) {
    repairText = text;
    repairTokens = tokens;
    return this;
  }

  /** Policies that are measured as they are, before the trials. */
  public Experiment policies(List<EvaluatedPolicy> more) {
    given.addAll(more);
    return this;
  }

  /** The plans to try, in the order of the rows. */
  public Experiment trials(List<Trial> more) {
    trials.addAll(more);
    return this;
  }

  /** Where everything is kept, null to keep nothing. */
  public Experiment folder(Path kept) {
    folder = kept;
    return this;
  }

  /** As {@link Evaluator#datasets}. */
  public Experiment datasets(Datasets known) {
    datasets = known;
    return this;
  }

  /**
   * Who hears how far it is.
   *
   * @param trial told the name of each trial that was not in the folder as a whole
   */
  public Experiment listener(QualityMeter.Listener hears, Consumer<String> trial) {
    listener = hears;
    measured = trial;
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
   * below it, the same repaired.
   *
   * @param speed how the speed of all rows is measured in turn at the end; null to leave it out
   * @throws EvaluationException as {@link #compare}
   */
  public EvaluationReport table(SpeedMeter.Settings speed) {
    try (ResultFolder kept = open()) {
      List<EvaluatedPolicy> policies = new ArrayList<>();
      List<Row> rows = new ArrayList<>();
      for (Measured plan : measure(kept, policies)) {
        OnText text = plan.texts().get(0);
        rows.addAll(rows.isEmpty() ? text.unshared() : List.of());
        rows.addAll(text.plain());
        rows.addAll(text.repaired());
      }
      return evaluator(texts.get(0), policies).speed(speed).complete(rows);
    }
  }

  private ResultFolder open() {
    return folder == null
        ? ResultFolder.temporary()
        : ResultFolder.open(
            folder,
            List.of(
                "model " + model.key(null).line(),
                repairText == null
                    ? "no repair"
                    : "repair " + repairText.sha256() + ", " + repairTokens + " tokens"));
  }

  private Evaluator evaluator(Corpus text, List<EvaluatedPolicy> policies) {
    return Evaluator.of(model)
        .text(text)
        .passages(cut.passages(), cut.tokens())
        .policies(policies)
        .caches(caches, cachePrompt)
        .speed(null)
        .datasets(datasets)
        .listener(listener);
  }

  /**
   * Measures, or takes from the folder.
   *
   * @param policies what is behind the rows of the unshared model is added to it
   */
  private List<Measured> measure(ResultFolder kept, List<EvaluatedPolicy> policies) {
    List<Measured> plans = new ArrayList<>();
    for (EvaluatedPolicy policy : given) {
      Made made = new Made(policy, kept.resultsOrNull(policy.name()), false);
      plans.add(measure(kept, policy.name(), "given", 0, made, false));
      policies.add(policy);
    }
    for (Trial trial : trials) {
      Made made = make(kept, trial);
      boolean repaired = made.policy().policy().repair() != null;
      plans.add(measure(kept, trial.name(), trial.method(), trial.size(), made, repaired));
      policies.add(made.policy().withoutRepair());
      if (repaired) {
        policies.add(repaired(made.policy()));
      }
    }
    return plans;
  }

  private static EvaluatedPolicy repaired(EvaluatedPolicy policy) {
    return new EvaluatedPolicy(policy.name() + ", repaired", policy.policy(), policy.file());
  }

  private Measured measure(
      ResultFolder kept, String name, String method, int size, Made made, boolean repaired) {
    EvaluatedPolicy policy = made.policy();
    String digest = digest(policy);
    Results results = made.results();
    if (results == null || !results.policy().equals(digest)) {
      results = new Results(digest, 0, 0, Map.of());
    }
    int cacheRows = 1 + caches.size();
    List<OnText> onTexts = new ArrayList<>();
    boolean told = made.fresh();
    for (Corpus text : texts) {
      String key = key(text);
      if (!results.measured().containsKey(key)) {
        List<EvaluatedPolicy> run =
            repaired ? List.of(policy.withoutRepair(), repaired(policy)) : List.of(policy);
        results = results.with(key, evaluator(text, run).run().rows());
        kept.keep(name, results);
        told = true;
      }
      List<Row> rows = results.measured().get(key);
      onTexts.add(
          new OnText(
              text.name(),
              rows.subList(0, cacheRows),
              rows.subList(cacheRows, 2 * cacheRows),
              rows.subList(2 * cacheRows, rows.size())));
    }
    if (told) {
      measured.accept(name);
    }
    if (kept.policy(name).equals(policy.file())) {
      alike.putIfAbsent(policy.policy().plan(), new Made(policy, results, false));
    }
    return new Measured(
        name,
        method,
        size,
        policy.policy().plan().reducedLayers(),
        results.searchSeconds(),
        results.repairSeconds(),
        onTexts);
  }

  /** Everything besides model, policy and folder that decides what is measured on a text. */
  private String key(Corpus text) {
    return "%s, %d passages of %d tokens%s"
        .formatted(
            text.sha256(),
            cut.passages(),
            cut.tokens(),
            caches.isEmpty() ? "" : ", " + caches + " behind " + cachePrompt);
  }

  private static String digest(EvaluatedPolicy policy) {
    String name = UUID.nameUUIDFromBytes(PolicyFile.toBytes(policy.policy())).toString();
    return policy.file() == null ? name + " plain" : name;
  }

  /** The policy of a trial from the folder, else searched, repaired and kept there. */
  private Made make(ResultFolder kept, Trial trial) {
    Path file = kept.policy(trial.name());
    Results results = kept.resultsOrNull(trial.name());
    if (results != null && Files.isRegularFile(file)) {
      return new Made(
          new EvaluatedPolicy(trial.name(), PolicyFile.read(file), file), results, false);
    }
    if (repairText != null) {
      passages(false); // refuses a short text before the long part
    }
    long start = System.nanoTime();
    Policy policy = trial.search().get();
    long searched = System.nanoTime();
    Made other = alike.get(policy.plan());
    policy = other == null ? repair(kept, trial, policy) : withRepair(policy, other);
    long done = System.nanoTime();
    policy = PolicyFile.write(policy, null, file);
    EvaluatedPolicy made = new EvaluatedPolicy(trial.name(), policy, file);
    results =
        new Results(
            digest(made),
            (searched - start) / 1e9,
            (done - searched) / 1e9,
            other == null ? Map.of() : renamed(other, trial.name()));
    kept.keep(trial.name(), results);
    return new Made(made, results, true);
  }

  /** A policy with the weights that were refitted for another one of the same plan. */
  private static Policy withRepair(Policy policy, Made other) {
    Policy repaired = other.policy().policy();
    if (repaired.validation() == null) {
      return policy;
    }
    Provenance origin =
        policy.calibration() == null ? Provenance.builder().build() : policy.calibration();
    return policy
        .withRepair(repaired.repair())
        .withCalibration(origin.toBuilder().validation(repaired.validation()).build());
  }

  /** What was measured of a policy, for another one of the same plan. */
  private static Map<String, List<Row>> renamed(Made made, String name) {
    String before = made.policy().name();
    Map<String, List<Row>> rows = new HashMap<>();
    made.results()
        .measured()
        .forEach(
            (key, found) ->
                rows.put(
                    key,
                    found.stream()
                        .map(
                            row ->
                                row.policy() == null
                                    ? row
                                    : row.named(row.policy().replace(before, name)))
                        .toList()));
    return rows;
  }

  private Policy repair(ResultFolder kept, Trial trial, Policy policy) {
    Plan plan = policy.plan();
    if (repairText == null || plan.reducedLayers() == 0 || plan.map().hasUpwardSources()) {
      return policy;
    }
    int layers = plan.map().layers();
    RepairOutcome outcome =
        new Repair(model.decoder(), RepairSettings.DEFAULT)
            .repair(
                plan,
                passages(!plan.windowedLayers().isEmpty()),
                done -> listener.onProgress("refitting " + trial.name(), done, layers));
    return RepairedPolicy.of(policy, outcome).write(kept.policy(trial.name()));
  }

  private RepairPassages passages(boolean windowed) {
    return passages.computeIfAbsent(
        windowed,
        longer -> {
          RepairPassages found =
              new CalibrationText(model).repairPassages(repairText, repairTokens, longer);
          if (found == null) {
            throw new EvaluationException(
                "The text %s is too short for a repair: %s are needed. Give a longer one by --repair-text, more of it by --repair-tokens, or leave the repair out."
                    .formatted(repairText.name(), CalibrationText.shortest()));
          }
          return found;
        });
  }
}
