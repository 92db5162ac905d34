package dev.kvshare.calibrate;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.calibrate.capture.CandidateRunner;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.KvAverages;
import dev.kvshare.calibrate.capture.KvDistances;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.search.SearchGoals;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.StrategyRun;
import java.util.List;

/**
 * Finds a sharing map for a model: the entry point of this module.
 *
 * <p>Nothing is written except the journal, and nothing is printed. An interrupt of the calibrating
 * thread ends it with {@link CalibrationInterruptedException} and keeps the journal. Not safe for
 * use by several threads at once, as the decoder is not.
 */
public final class Calibrator {
  private final Decoder decoder;
  private final ModelIdentity model;

  /**
   * A calibrator of one model; it closes nothing.
   *
   * @param decoder the model
   * @param model its identity with the fingerprint, as the policy is to name it
   */
  public Calibrator(Decoder decoder, ModelIdentity model) {
    this.decoder = decoder;
    this.model = model;
  }

  /**
   * Runs the unshared model on the samples.
   *
   * @param dataset the text that the samples are from, as the policy is to name it
   * @param samples token ids, one array a sample; the lengths may differ
   */
  public KvStatistics capture(
      DatasetReference dataset, List<int[]> samples, CalibrationListener listener) {
    CalibrationSettings settings = CalibrationSettings.builder().build();
    requireTokens(samples);
    try (CandidateRunner runner = runner(samples, settings)) {
      return capture(runner, dataset, samples, listener);
    }
  }

  /**
   * Searches with statistics that were captured before.
   *
   * @throws CalibrationException if they are of another model
   */
  public CalibrationResult search(
      KvStatistics statistics, CalibrationSettings settings, CalibrationListener listener) {
    requireSameModel(statistics.model());
    requireTokens(statistics.samples());
    goals(settings); // refuses a budget out of reach before the long part
    try (CandidateRunner runner = runner(statistics.samples(), settings)) {
      runner.compareWith(statistics.lastHidden());
      return search(runner, statistics, settings, listener);
    }
  }

  /** {@link #capture} and {@link #search} with the states of the unshared model kept in between. */
  public CalibrationResult calibrate(
      DatasetReference dataset,
      List<int[]> samples,
      CalibrationSettings settings,
      CalibrationListener listener) {
    requireTokens(samples);
    goals(settings); // refuses a budget out of reach before the long part
    try (CandidateRunner runner = runner(samples, settings)) {
      KvStatistics statistics = capture(runner, dataset, samples, listener);
      return search(runner, statistics, settings, listener);
    }
  }

  private CandidateRunner runner(List<int[]> samples, CalibrationSettings settings) {
    return new CandidateRunner(
        decoder, samples, settings.maxStateBytes(), settings.maxBatchTokens());
  }

  private KvStatistics capture(
      CandidateRunner runner,
      DatasetReference dataset,
      List<int[]> samples,
      CalibrationListener listener) {
    KvAverages averages = runner.capture(listener);
    report(listener, 0);
    DistanceMatrix distances = KvDistances.of(averages, decoder.spec().headSize());
    report(listener, 1);
    return new KvStatistics(model, dataset, samples, distances, runner.baseline());
  }

  private static void report(CalibrationListener listener, int done) {
    listener.progressed(CalibrationListener.Progress.of(CalibrationListener.Phase.RANK, done, 1));
  }

  private CalibrationResult search(
      CandidateRunner runner,
      KvStatistics statistics,
      CalibrationSettings settings,
      CalibrationListener listener) {
    SearchOutcome outcome;
    try (StrategyRun run =
        new StrategyRun(decoder, runner, statistics, settings, goals(settings), listener)) {
      outcome = run.run();
    }
    Policy policy =
        CalibratedPolicy.of(statistics, settings, outcome)
            .withContext(SearchGoals.textTokens(decoder.spec()));
    return new CalibrationResult(
        policy, settings, statistics, outcome, SearchGoals.textTokens(decoder.spec()));
  }

  private SearchGoals goals(CalibrationSettings settings) {
    return SearchGoals.of(settings.budget(), settings.window(), decoder.spec());
  }

  private void requireSameModel(ModelIdentity captured) {
    if (!captured.equals(model)) {
      throw new CalibrationException(
          "The statistics are of another model: %s, but this one is %s. Capture them again from this model."
              .formatted(describe(captured), describe(model)));
    }
  }

  private static String describe(ModelIdentity identity) {
    return "%s with %d layers, fingerprint %s"
        .formatted(identity.modelType(), identity.layers(), identity.fingerprint());
  }

  private void requireTokens(List<int[]> samples) {
    if (samples.isEmpty()) {
      throw new CalibrationUsageException(
          "There is no calibration sample: give a text with at least one sample.");
    }
    ModelSpec spec = decoder.spec();
    for (int i = 0; i < samples.size(); i++) {
      int[] sample = samples.get(i);
      if (sample.length == 0 || sample.length > spec.maxPositions()) {
        throw new CalibrationUsageException(
            "Sample %d has %d tokens, but the model takes 1 to %d: change --tokens."
                .formatted(i, sample.length, spec.maxPositions()));
      }
      for (int id : sample) {
        if (id < 0 || id >= spec.vocabularySize()) {
          throw new CalibrationUsageException(
              "Sample %d has token %d, but the model's vocabulary ends at %d: the token ids are of another tokenizer."
                  .formatted(i, id, spec.vocabularySize() - 1));
        }
      }
    }
  }
}
