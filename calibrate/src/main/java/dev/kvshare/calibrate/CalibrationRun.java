package dev.kvshare.calibrate;

import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Policy.ToolVersion;
import dev.kvshare.apply.policy.Provenance.Candidate;
import dev.kvshare.apply.policy.Provenance.ComparedMethod;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.capture.CalibrationListener.Phase;
import dev.kvshare.calibrate.capture.CalibrationListener.Progress;
import dev.kvshare.calibrate.capture.KvDistances;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SampleRunner;
import dev.kvshare.calibrate.capture.SimilarityMeter.LayerWork;
import dev.kvshare.calibrate.capture.StatisticsFile;
import dev.kvshare.calibrate.repair.Repair;
import dev.kvshare.calibrate.repair.RepairOutcome;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.score.RecallMeter;
import dev.kvshare.calibrate.score.RecallPassages;
import dev.kvshare.calibrate.score.Scores;
import dev.kvshare.calibrate.search.Method;
import dev.kvshare.calibrate.search.Search;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.SearchSettings;
import dev.kvshare.datasets.CalibrationSampler;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Passages;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.IntFunction;

/** One calibration of a loaded model with the settings of a {@link Calibration}. */
final class CalibrationRun {
  private final Calibration of;
  private final LoadedModel loaded;

  CalibrationRun(Calibration of, LoadedModel loaded) {
    this.of = of;
    this.loaded = loaded;
  }

  CalibrationResult run() {
    if (of.target != null) {
      of.target.checkFamily(loaded.decoder().spec().modelType());
    }
    long before = loaded.decoder().layerTokens();
    CalibrationResult found = found();
    Scores scores = found.outcome().scores();
    of.listener.worked(
        (loaded.decoder().layerTokens() - before) / loaded.decoder().spec().layers(),
        scores == null ? 0 : scores.tokens());
    return found;
  }

  private CalibrationResult found() {
    IntFunction<Plan> given = of.givenPlan();
    CalibrationText cut = of.passages == null ? new CalibrationText(loaded) : of.passages;
    KvStatistics start =
        of.statisticsFile == null ? of.statistics : StatisticsFile.read(of.statisticsFile);
    Corpus corpus = start == null ? of.textOrDefault() : of.text;
    boolean repairs = of.repair != null && (of.repairChosen || of.repairs(given));
    of.listener.planned(phases(given == null && start == null, given == null, repairs));
    RecallPassages hidden = recallPassages(corpus);
    CalibrationResult found =
        given == null
            ? searched(cut, corpus, start, hidden)
            : given(given.apply(loaded.decoder().spec().layers()), corpus);
    if (repairs) {
      found = repaired(found, cut, of.repairText == null ? corpus : of.repairText);
    }
    Policy policy = found.policy();
    if (hidden == null || policy.plan().reducedLayers() == 0) {
      return found;
    }
    try (RecallMeter meter = meter(hidden, false)) {
      Recall recall = meter.judge(policy.plan(), found.weights());
      return found.with(policy.withCalibration(origin -> origin.recall = recall), found.weights());
    }
  }

  private List<Phase> phases(boolean captures, boolean searches, boolean repairs) {
    List<Phase> phases = new ArrayList<>();
    if (captures || !searches) {
      phases.add(Phase.CAPTURE);
    }
    if (searches) {
      phases.addAll(
          of.chosenMethod().repairs() ? List.of(Phase.SCORE, Phase.PLANS) : List.of(Phase.SEARCH));
    }
    if (repairs) {
      phases.add(Phase.REPAIR);
    }
    if (of.recallContext > 0) {
      phases.add(Phase.RECALL);
    }
    return phases;
  }

  /** Runs the unshared model on samples of the text. */
  KvStatistics capture() {
    Passages chosen = sample(of.textOrDefault());
    requireTokens(chosen.passages());
    try (SampleRunner runner = runner(chosen.passages())) {
      return capture(runner, chosen);
    }
  }

  // The search.

  @SuppressWarnings("try")
  private CalibrationResult searched(
      CalibrationText cut, Corpus corpus, KvStatistics start, RecallPassages hiddenOrNull) {
    if (start != null) {
      requireSameKey(start);
    }
    SearchSettings settings = settings(cut, corpus);
    Passages chosen = start == null ? sample(corpus) : null;
    List<int[]> ids = start == null ? chosen.passages() : start.samples();
    requireTokens(ids);
    try (SampleRunner runner = runner(ids)) {
      KvStatistics measured = start;
      if (start == null) {
        measured = capture(runner, chosen);
      } else {
        runner.compareWith(start.lastHidden());
      }
      SearchOutcome outcome;
      boolean asks = hiddenOrNull != null && settings.method().repairs();
      try (RecallMeter meter = asks ? meter(hiddenOrNull, true) : null;
          Search search =
              new Search(
                  loaded.decoder(),
                  runner,
                  measured,
                  settings,
                  of.listener,
                  meter == null
                      ? null
                      : (plans, weights) ->
                          meter.judge(plans.stream().map(this::asWritten).toList(), weights))) {
        outcome = search.run();
      }
      return new CalibrationResult(
          policy(settings, measured, outcome),
          null,
          of.keep,
          settings,
          measured,
          outcome,
          of.contextOf(loaded.decoder().spec()));
    }
  }

  private SearchSettings settings(CalibrationText cut, Corpus corpusOrNull) {
    ModelSpec spec = loaded.decoder().spec();
    Method chosen = of.chosenMethod();
    SearchSettings.Limits limits =
        new SearchSettings.Limits(of.threshold, of.maxDivergence, of.maxPerplexityRise);
    SearchGoals.Window window = of.windowOf(spec);
    SearchGoals goals = of.keep.goals(chosen, window, of.contextOf(spec), spec);
    List<int[]> searchText = List.of();
    if (corpusOrNull != null && (chosen.repairs() || limits.needRepair())) {
      searchText = cut.passages(corpusOrNull, goals.windowed().isPresent() ? window.last() : 0);
    }
    int longest = searchText.stream().mapToInt(ids -> ids.length).max().orElse(0);
    if (goals.windowed().isPresent() && of.last == null && longest > 0) {
      window = window.shownBy(longest);
      goals = of.keep.goals(chosen, window, of.contextOf(spec), spec);
    }
    if (goals.windowed().isPresent()
        && goals.sharing().isPresent()
        && longest < window.comparableTokens()) {
      of.listener.noted(
          corpusOrNull == null
              ? "the statistics hold no text long enough to see what windows lose: layers only share"
              : "the text has no passage of %,d tokens, which would show what windows lose beside sharing: layers only share"
                  .formatted(window.comparableTokens()));
      goals = SearchGoals.share(goals.sharing().getAsInt());
      if (corpusOrNull != null) {
        searchText = cut.passages(corpusOrNull, 0);
      }
    }
    return new SearchSettings(
        chosen,
        goals,
        limits,
        of.seed,
        of.acrossKinds,
        searchText,
        of.batchMemoryBytes,
        of.journal,
        of.resume);
  }

  private Passages sample(Corpus corpus) {
    if (corpus instanceof Corpus.Tokens tokens && tokens.sequences().isEmpty()) {
      throw new CalibrationException.Usage(
          "There is no calibration sample: give a text with at least one sample.");
    }
    Passages chosen =
        new CalibrationSampler(of.samples, of.tokensPerSample).sample(corpus, loaded::encode);
    chosen.notes().forEach(of.listener::noted);
    of.listener.noted("text " + chosen.summary());
    return chosen;
  }

  private SampleRunner runner(List<int[]> ids) {
    return new SampleRunner(loaded.decoder(), ids, of.batchMemoryBytes, of.batchTokens);
  }

  private KvStatistics capture(SampleRunner runner, Passages chosen) {
    KvDistances sums = runner.capture(of.listener);
    of.listener.progressed(Progress.of(Phase.RANK, 0, 1));
    KvStatistics measured =
        new KvStatistics(
            loaded.identity(),
            loaded.key(null).line(),
            new DatasetReference(chosen.name(), chosen.sha256()),
            chosen.passages(),
            sums.matrix(loaded.decoder().spec().headSize()),
            runner.baseline());
    of.listener.progressed(Progress.of(Phase.RANK, 1, 1));
    return measured;
  }

  private void requireSameKey(KvStatistics start) {
    if (!start.model().equals(loaded.identity())) {
      throw new CalibrationException(
          "The statistics are of another model: %s, but this one is %s. Capture them again from this model."
              .formatted(start.model(), loaded.identity()));
    }
    String key = loaded.key(null).line();
    if (!start.key().equals(key)) {
      throw new CalibrationException(
          "The statistics were measured otherwise than this run computes: with \"%s\" there and \"%s\" here (model, number format, form of the weights, device). Capture them again, or run as they were captured."
              .formatted(start.key(), key));
    }
  }

  private void requireTokens(List<int[]> ids) {
    ModelSpec spec = loaded.decoder().spec();
    for (int i = 0; i < ids.size(); i++) {
      int length = ids.get(i).length;
      if (length == 0 || length > spec.maxPositions()) {
        throw new CalibrationException.Usage(
            "Sample %d has %d tokens, but the model takes 1 to %d: change the tokens of a sample."
                .formatted(i, length, spec.maxPositions()));
      }
      for (int id : ids.get(i)) {
        if (id < 0 || id >= spec.vocabularySize()) {
          throw new CalibrationException.Usage(
              "Sample %d has token %d, but the model's vocabulary ends at %d: the token ids are of another tokenizer."
                  .formatted(i, id, spec.vocabularySize() - 1));
        }
      }
    }
  }

  private Policy policy(SearchSettings settings, KvStatistics measured, SearchOutcome outcome) {
    return policy(outcome.plan(), measured.dataset(), measured.samples())
        .withCalibration(
            origin -> {
              origin.threshold = settings.limits().threshold();
              origin.similarity = outcome.similarity();
              origin.seed = of.seed;
              origin.accepted = candidates(outcome.accepted());
              origin.rejected = candidates(outcome.rejected());
              origin.compared =
                  outcome.compared().stream()
                      .map(
                          found ->
                              new ComparedMethod(
                                  found.name(),
                                  found.plan().reducedLayers(),
                                  found.reached(),
                                  found.quality().divergence().mean(),
                                  found.quality().divergence().perplexityRatio(),
                                  found.quality().divergence().agreement(),
                                  found.quality().similarity(),
                                  found.recall()))
                      .toList();
            });
  }

  /** A policy that says how it is made, but not yet what was measured. */
  private Policy policy(Plan plan, DatasetReference dataset, List<int[]> ids) {
    return Policy.of(loaded.identity(), plan.withPrefill(prefill(plan)))
        .withContext(of.contextOf(loaded.decoder().spec()))
        .withTool(ToolVersion.of(Calibration.class))
        .withCalibration(
            origin -> {
              origin.method = of.method;
              origin.command = of.command;
              origin.acrossKinds = of.acrossKinds;
              origin.dtype = loaded.key(plan).computeType().name().toLowerCase(Locale.ROOT);
              origin.threads = PyTorchRuntime.threads();
              origin.dataset = dataset;
              origin.samples = ids.size();
              origin.tokensPerSample =
                  ids.stream().mapToInt(sample -> sample.length).max().orElse(0);
            });
  }

  /** A plan as the policy is to have it; an exact prefill stays. */
  private Plan asWritten(Plan found) {
    return found.prefill() == Prefill.EXACT ? found : found.withPrefill(prefill(found));
  }

  private Prefill prefill(Plan found) {
    if (of.prefill != null || of.givenPlan() != null) {
      return of.prefill == null ? found.prefill() : of.prefill;
    }
    boolean exact =
        of.chosenMethod().repairs()
            && !of.preferTop
            && found.reducedLayers() > 0
            && loaded.decoder().spec().isTrainedUnshared();
    return exact ? Prefill.EXACT : Prefill.PLAN;
  }

  private static List<Candidate> candidates(List<SearchOutcome.Tested> tested) {
    return tested.stream()
        .map(
            candidate ->
                new Candidate(
                    candidate.pair().layer(),
                    candidate.pair().source(),
                    candidate.pair().distance(),
                    candidate.similarity(),
                    candidate.measured().isComplete() ? null : candidate.measured().samples()))
        .toList();
  }

  // A given plan: measured, not searched.

  private CalibrationResult given(Plan wanted, Corpus corpus) {
    if (wanted.map().hasChains()) {
      throw new CalibrationException.Usage(
          "A policy cannot say this plan: every layer that others read must keep its own keys and values.");
    }
    if (of.target != null && wanted.map().hasUpwardSources() && !of.target.readsUpward()) {
      throw new CalibrationException.Usage(
          "Layers of this plan read sources above them, which only kvshare in Java runs.");
    }
    Passages chosen = sample(corpus);
    requireTokens(chosen.passages());
    double similarity =
        SampleRunner.similarity(loaded.decoder(), wanted, chosen.passages(), of.listener);
    DatasetReference dataset = new DatasetReference(chosen.name(), chosen.sha256());
    Policy policy =
        policy(wanted, dataset, chosen.passages())
            .withCalibration(origin -> origin.similarity = similarity);
    SearchOutcome outcome =
        new SearchOutcome(
            wanted,
            similarity,
            wanted.reducedLayers(),
            List.of(),
            List.of(),
            0,
            LayerWork.NONE,
            List.of(),
            null);
    return new CalibrationResult(
        policy, null, of.keep, null, null, outcome, of.contextOf(loaded.decoder().spec()));
  }

  // The repair.

  private CalibrationResult repaired(
      CalibrationResult found, CalibrationText cut, Corpus corpusOrNull) {
    Plan wanted = found.policy().plan();
    if (wanted.reducedLayers() == 0) {
      return found;
    }
    int window = wanted.windows() == null ? 0 : wanted.windows().last();
    RepairPassages split =
        corpusOrNull == null ? null : cut.repairPassages(corpusOrNull, of.repairTokens(), window);
    if (wanted.map().hasUpwardSources()) {
      of.listener.noted("not repaired: only plans with sources below their readers can be");
      return found;
    }
    if (split == null) {
      of.listener.noted(
          corpusOrNull == null
              ? "not repaired: the statistics hold no text, which a repair needs; give one for it"
              : "not repaired: %s is too short, %s are needed"
                  .formatted(corpusOrNull.name(), CalibrationText.shortest()));
      return found;
    }
    int layers = wanted.map().layers();
    boolean shares = wanted.map().sharedLayers() > 0;
    boolean fits = of.refits(shares);
    RepairSettings settings = shares ? of.repair : of.repair.ofReducedLayers();
    RepairOutcome outcome =
        new Repair(loaded.decoder(), fits ? settings : RepairSettings.NONE)
            .repair(
                wanted,
                fits ? split : new RepairPassages(split.validation(), List.of()),
                done -> {
                  CalibrationException.Interrupted.check();
                  of.listener.progressed(Progress.of(Phase.REPAIR, done, layers));
                });
    if (fits && !outcome.improves()) {
      of.listener.noted("the repair did not help and is left out");
    }
    Policy policy = outcome.policy(found.policy());
    if (of.repairText != null) {
      DatasetReference dataset = new DatasetReference(of.repairText.name(), of.repairText.sha256());
      policy = policy.withCalibration(origin -> origin.repairDataset = dataset);
    }
    return found.with(policy, outcome.weightsOrNull());
  }

  // Recall.

  /** Passages of the text that hide numbers; null, and a note, where that cannot be done. */
  private RecallPassages recallPassages(Corpus corpusOrNull) {
    if (of.recallContext == 0) {
      return null;
    }
    if (!(corpusOrNull instanceof Corpus.Text words)) {
      of.listener.noted("recall is not measured: numbers are hidden in text, and none is given");
      return null;
    }
    int tokens = recallTokens();
    if (tokens < of.recallContext) {
      of.listener.noted(
          "recall is measured at %,d tokens, the most of this model".formatted(tokens));
    }
    try {
      RecallPassages hidden = new RecallPassages(words, loaded::encode, loaded.bosOrNull());
      hidden.passages(RecallPassages.Kind.FOUR_KEYS, choosingTokens(), 1, of.seed);
      return hidden;
    } catch (IllegalArgumentException e) {
      of.listener.noted("recall is not measured: " + e.getMessage());
      return null;
    }
  }

  private int recallTokens() {
    return Math.min(of.recallContext, loaded.decoder().spec().maxPositions());
  }

  private int choosingTokens() {
    boolean windows = of.givenPlan() == null && of.chosenMethod().windows();
    return RecallPassages.choosingTokens(
        recallTokens(), windows ? of.windowOf(loaded.decoder().spec()).last() : 0);
  }

  /** Asks for hidden numbers: to choose between plans, or in other passages to report on one. */
  private RecallMeter meter(RecallPassages hidden, boolean chooses) {
    int tokens = chooses ? choosingTokens() : recallTokens();
    int count = chooses ? RecallPassages.CHOOSING : RecallPassages.REPORTING;
    int all = RecallPassages.Kind.values().length * count;
    int[] ran = {0};
    return new RecallMeter(
        loaded.decoder(),
        hidden.passages(tokens, count, chooses ? of.seed : of.seed + 1),
        rows -> {
          CalibrationException.Interrupted.check();
          ran[0] = ran[0] % all + rows;
          of.listener.progressed(Progress.of(chooses ? Phase.PLANS : Phase.RECALL, ran[0], all));
        });
  }
}
