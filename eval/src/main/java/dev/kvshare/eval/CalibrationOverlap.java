package dev.kvshare.eval;

import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.Dataset;
import dev.kvshare.datasets.Datasets;
import dev.kvshare.datasets.TextOverlap;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Warns if a policy is measured on text that it was calibrated on. A policy names its calibration
 * text by SHA-256: the same bytes overlap whole; if they belong to a known data set, its text is
 * compared by shared runs of words; other texts are not at hand and cannot be compared.
 */
final class CalibrationOverlap {
  /** Below this share, common phrases explain the overlap. */
  private static final double TOLERATED = 0.02;

  private final Datasets datasets;
  private final Corpus evaluation;

  CalibrationOverlap(Datasets datasets, Corpus evaluation) {
    this.datasets = datasets;
    this.evaluation = evaluation;
  }

  /** Returns a warning, or nothing if there is no known overlap. */
  Optional<String> warning(EvaluatedPolicy evaluated) {
    return texts(evaluated.policy()).flatMap(text -> warning(evaluated, text).stream()).findFirst();
  }

  private Optional<String> warning(EvaluatedPolicy evaluated, DatasetReference text) {
    double overlap = overlap(text.sha256());
    if (overlap <= TOLERATED) {
      return Optional.empty();
    }
    return Optional.of(
        "%.0f %% of the evaluation text %s occurs in %s, on which %s was calibrated: its quality looks better than it is. Evaluate on another text."
            .formatted(100 * overlap, evaluation.name(), text.name(), evaluated.name()));
  }

  /** The texts that the search and the repair read, as far as they can be told. */
  private static Stream<DatasetReference> texts(Policy policy) {
    return policy.calibration() == null
        ? Stream.of()
        : Stream.of(policy.calibration().dataset(), policy.calibration().repairDataset())
            .filter(text -> text != null && text.sha256() != null);
  }

  private double overlap(String sha256) {
    if (sha256.equals(evaluation.sha256())) {
      return 1;
    }
    return datasets.list().stream()
        .filter(dataset -> dataset.sha256().equals(sha256))
        .map(Dataset::name)
        .findFirst()
        .map(name -> TextOverlap.fraction(datasets.find(name).load(), evaluation))
        .orElse(0.0);
  }
}
