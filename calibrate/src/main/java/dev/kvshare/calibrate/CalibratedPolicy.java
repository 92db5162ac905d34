package dev.kvshare.calibrate;

import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Policy.ToolVersion;
import dev.kvshare.apply.policy.Provenance;
import dev.kvshare.apply.policy.Provenance.Candidate;
import dev.kvshare.apply.policy.Provenance.ComparedMethod;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.StrategyResult;
import dev.kvshare.calibrate.search.TestedCandidate;
import java.util.List;

/** The policy of a finished search with where it came from. Equal input gives equal policies. */
final class CalibratedPolicy {
  private CalibratedPolicy() {}

  static Policy of(KvStatistics statistics, CalibrationSettings settings, SearchOutcome outcome) {
    Provenance calibration =
        Provenance.builder()
            .method(settings.strategy().strategy())
            .acrossKinds(settings.acrossKinds())
            .threshold(settings.limits().threshold())
            .similarity(outcome.similarity())
            .dataset(statistics.dataset())
            .samples(statistics.samples().size())
            .tokensPerSample(statistics.tokensPerSample())
            .seed(settings.seed())
            .accepted(candidates(outcome.accepted()))
            .rejected(candidates(outcome.rejected()))
            .compared(compared(outcome.compared()))
            .build();
    return Policy.of(statistics.model(), outcome.plan())
        .withCalibration(calibration)
        .withTool(tool());
  }

  /** The program that writes the policy. */
  static ToolVersion tool() {
    return new ToolVersion("kvshare", version());
  }

  private static List<Candidate> candidates(List<TestedCandidate> tested) {
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

  private static List<ComparedMethod> compared(List<StrategyResult> results) {
    return results.stream()
        .map(
            found ->
                new ComparedMethod(
                    found.strategy(),
                    found.plan().reducedLayers(),
                    found.reached(),
                    found.quality().divergence().mean(),
                    found.quality().divergence().perplexityRatio(),
                    found.quality().divergence().agreement(),
                    found.quality().similarity()))
        .toList();
  }

  /** From the manifest of the jar. */
  private static String version() {
    String version = CalibratedPolicy.class.getPackage().getImplementationVersion();
    return version == null ? "development" : version;
  }
}
