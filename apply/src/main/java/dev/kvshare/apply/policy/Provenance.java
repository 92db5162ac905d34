package dev.kvshare.apply.policy;

import java.util.List;

/**
 * Where a policy came from. Every scalar may be null in hand-written policies.
 *
 * @param strategy name of the search strategy
 * @param threshold the mean cosine similarity that a map had to exceed
 * @param similarity the mean cosine similarity of the final map
 * @param dataset the calibration text
 * @param samples number of samples run
 * @param tokensPerSample tokens of a sample
 * @param seed seed of everything random
 * @param accepted the accepted steps, in order
 * @param rejected the tested and refused steps, in order
 * @param compared what each strategy found that was tried, the one whose map was taken at the
 *     front; empty where nothing was measured after a repair
 * @param repairDataset the text of the repair where it is another than that of the calibration, or
 *     null
 * @param validation how near the final map comes to the unshared model, or null
 */
public record Provenance(
    String strategy,
    Double threshold,
    Double similarity,
    DatasetReference dataset,
    Integer samples,
    Integer tokensPerSample,
    Long seed,
    List<Candidate> accepted,
    List<Candidate> rejected,
    List<ComparedStrategy> compared,
    DatasetReference repairDataset,
    Validation validation) {

  /** Copies the lists and rounds to the digits that the policy file keeps. */
  public Provenance {
    threshold = Digits.round(threshold);
    similarity = Digits.round(similarity);
    accepted = List.copyOf(accepted);
    rejected = List.copyOf(rejected);
    compared = List.copyOf(compared);
  }

  /** Returns a builder that starts from this record. */
  public Builder toBuilder() {
    return builder()
        .strategy(strategy)
        .threshold(threshold)
        .similarity(similarity)
        .dataset(dataset)
        .samples(samples)
        .tokensPerSample(tokensPerSample)
        .seed(seed)
        .accepted(accepted)
        .rejected(rejected)
        .compared(compared)
        .repairDataset(repairDataset)
        .validation(validation);
  }

  /** Returns a builder with nothing set. */
  public static Builder builder() {
    return new Builder();
  }

  /** Collects the components of a {@link Provenance}. */
  public static final class Builder {
    private String strategy;
    private Double threshold;
    private Double similarity;
    private DatasetReference dataset;
    private Integer samples;
    private Integer tokensPerSample;
    private Long seed;
    private List<Candidate> accepted = List.of();
    private List<Candidate> rejected = List.of();
    private List<ComparedStrategy> compared = List.of();
    private DatasetReference repairDataset;
    private Validation validation;

    private Builder() {}

    /** Sets the name of the search strategy. */
    public Builder strategy(String value) {
      strategy = value;
      return this;
    }

    /** Sets the similarity that a map had to exceed. */
    public Builder threshold(Double value) {
      threshold = value;
      return this;
    }

    /** Sets the similarity of the final map. */
    public Builder similarity(Double value) {
      similarity = value;
      return this;
    }

    /** Sets the calibration text. */
    public Builder dataset(DatasetReference value) {
      dataset = value;
      return this;
    }

    /** Sets the number of samples run. */
    public Builder samples(Integer value) {
      samples = value;
      return this;
    }

    /** Sets the tokens of a sample. */
    public Builder tokensPerSample(Integer value) {
      tokensPerSample = value;
      return this;
    }

    /** Sets the seed of everything random. */
    public Builder seed(Long value) {
      seed = value;
      return this;
    }

    /** Sets the accepted steps, in order. */
    public Builder accepted(List<Candidate> value) {
      accepted = value;
      return this;
    }

    /** Sets the refused steps, in order. */
    public Builder rejected(List<Candidate> value) {
      rejected = value;
      return this;
    }

    /** Sets what each strategy found, the one taken at the front. */
    public Builder compared(List<ComparedStrategy> value) {
      compared = value;
      return this;
    }

    /** Sets the text of the repair where it is another one. */
    public Builder repairDataset(DatasetReference value) {
      repairDataset = value;
      return this;
    }

    /** Sets how near the final map comes to the unshared model. */
    public Builder validation(Validation value) {
      validation = value;
      return this;
    }

    /** Returns the record. */
    public Provenance build() {
      return new Provenance(
          strategy,
          threshold,
          similarity,
          dataset,
          samples,
          tokensPerSample,
          seed,
          accepted,
          rejected,
          compared,
          repairDataset,
          validation);
    }
  }
}
