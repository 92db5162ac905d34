package dev.kvshare.eval;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.generate.PolicyModel;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.TextOverlap;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A policy to measure. Its refitted weights are read where it is run, and freed afterwards.
 *
 * @param name the name of its row, usually the path as the user wrote it
 * @param policy the policy
 * @param file where it was read from, beside its refitted weights; null to leave these out
 */
public record EvaluatedPolicy(String name, Policy policy, Path file) {
  /** Below this share of a text, common phrases explain that it occurs in another. */
  private static final double TOLERATED_OVERLAP = 0.02;

  /** A policy with the checkpoint's weights. */
  public EvaluatedPolicy(String name, Policy policy) {
    this(name, policy, null);
  }

  /**
   * Reads a policy file and checks that it belongs to {@code model} and that this release runs all
   * of it.
   *
   * @param force whether a policy of another model of as many layers is measured as well
   * @throws dev.kvshare.apply.policy.PolicyException if the file is not usable or belongs to
   *     another model
   */
  public static EvaluatedPolicy read(Path file, LoadedModel model, boolean force) {
    return new EvaluatedPolicy(
        file.toString(),
        PolicyFile.read(file, model.identity(), model.decoder().spec(), force),
        file);
  }

  /** The same with the checkpoint's weights. */
  public EvaluatedPolicy withoutRepair() {
    return new EvaluatedPolicy(name, policy);
  }

  /** The refitted weights, null for none; the caller closes them. */
  WeightOverrides openWeights(Decoder decoder) {
    return file == null ? null : PolicyModel.overrides(policy, file, decoder);
  }

  /**
   * A warning if this policy is measured on text that it was calibrated on. A policy names its
   * texts by SHA-256: the same bytes overlap whole; if they belong to a known data set, its text is
   * compared by shared runs of words; other texts are not at hand and cannot be compared.
   */
  Optional<String> overlapWarning(Corpus evaluation, Datasets datasets) {
    if (policy.calibration() == null) {
      return Optional.empty();
    }
    return Stream.of(policy.calibration().dataset(), policy.calibration().repairDataset())
        .filter(text -> text != null && text.sha256() != null)
        .flatMap(
            text -> {
              double overlap = overlap(text.sha256(), evaluation, datasets);
              return overlap <= TOLERATED_OVERLAP
                  ? Stream.empty()
                  : Stream.of(
                      "%.0f %% of the evaluation text %s occurs in %s, on which %s was calibrated: its quality looks better than it is. Evaluate on another text."
                          .formatted(100 * overlap, evaluation.name(), text.name(), name));
            })
        .findFirst();
  }

  private static double overlap(String sha256, Corpus evaluation, Datasets datasets) {
    if (sha256.equals(evaluation.sha256())) {
      return 1;
    }
    return datasets.list().stream()
        .filter(dataset -> dataset.sha256().equals(sha256))
        .limit(1)
        .mapToDouble(known -> TextOverlap.fraction(datasets.find(known.name()).load(), evaluation))
        .sum();
  }
}
