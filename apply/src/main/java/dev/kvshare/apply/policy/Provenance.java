package dev.kvshare.apply.policy;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;

/**
 * Where a policy came from. Everything but the lists may be null in hand-written policies.
 *
 * @param method the name of the method that found the plan
 * @param command the command that made the policy, or null
 * @param threshold the mean cosine similarity that a map had to exceed
 * @param similarity the mean cosine similarity of the final map
 * @param recall how often planted facts are found again, or null where that was not measured
 * @param dataset the calibration text
 * @param samples number of samples run
 * @param tokensPerSample tokens of a sample
 * @param seed seed of everything random
 * @param dtype number format of the decoder, such as {@code float32}
 * @param threads threads that computed
 * @param acrossKinds true where layers of different kinds of attention were allowed to share
 * @param accepted the accepted steps, in order
 * @param rejected the tested and refused steps, in order
 * @param compared what each method found that was tried, the one whose plan was taken at the front;
 *     empty where nothing was measured after a repair
 * @param repairDataset the text of the repair where it is another than that of the calibration, or
 *     null
 * @param validation how near the final plan comes to the unshared model, or null
 */
public record Provenance(
    String method,
    String command,
    Double threshold,
    Double similarity,
    Recall recall,
    DatasetReference dataset,
    Integer samples,
    Integer tokensPerSample,
    Long seed,
    String dtype,
    Integer threads,
    Boolean acrossKinds,
    List<Candidate> accepted,
    List<Candidate> rejected,
    @JsonInclude(JsonInclude.Include.NON_EMPTY) List<ComparedMethod> compared,
    DatasetReference repairDataset,
    Validation validation) {

  /**
   * A text.
   *
   * @param name the file name or the name of the data set
   * @param sha256 64 hexadecimal digits over its bytes, or null
   */
  public record DatasetReference(String name, String sha256) {}

  /**
   * The share of planted facts that are found again in long texts.
   *
   * @param exact under the plan, 0 to 1
   * @param unshared by the unshared model
   */
  public record Recall(double exact, double unshared) {
    /** Rounds to the digits that the policy file keeps. */
    public Recall {
      exact = CanonicalJson.rounded(exact);
      unshared = CanonicalJson.rounded(unshared);
    }
  }

  /**
   * One tested step of a search: {@code layer} reading the keys and values of {@code source}.
   *
   * @param layer the reader
   * @param source the layer read from
   * @param distance the rank value of the pair, or null where the method has none
   * @param similarity mean cosine similarity of the last hidden states under the map with this
   *     step, or null where it was not measured
   * @param samples samples that {@code similarity} is the mean of where a refusal was certain
   *     before all were run, else null
   */
  public record Candidate(
      int layer, int source, Double distance, Double similarity, Integer samples) {
    /** Rounds to the digits that the policy file keeps. */
    public Candidate {
      distance = CanonicalJson.rounded(distance);
      similarity = CanonicalJson.rounded(similarity);
    }
  }

  /**
   * What one of several methods found, measured after a short repair on the passages of the search.
   *
   * @param method its name
   * @param reducedLayers layers that keep less under its plan
   * @param reached whether that is the size asked for, within the limits
   * @param divergence mean KL divergence of the next-token distributions from the unshared model's,
   *     in nats
   * @param perplexityRatio perplexity over that of the unshared model
   * @param agreement fraction of positions with the same most likely token
   * @param similarity mean cosine similarity of the last hidden states
   */
  public record ComparedMethod(
      String method,
      int reducedLayers,
      boolean reached,
      @JsonProperty("kl_divergence") double divergence,
      double perplexityRatio,
      @JsonProperty("top1_agreement") double agreement,
      double similarity) {
    /** Rounds to the digits that the policy file keeps. */
    public ComparedMethod {
      divergence = CanonicalJson.rounded(divergence);
      perplexityRatio = CanonicalJson.rounded(perplexityRatio);
      agreement = CanonicalJson.rounded(agreement);
      similarity = CanonicalJson.rounded(similarity);
    }
  }

  /**
   * How near a policy's plan comes to the unshared model on text that it was not fitted to.
   *
   * @param tokens tokens of that text
   * @param similarity mean cosine similarity of the last hidden states
   * @param divergence mean KL divergence of the next-token distributions from the unshared model's,
   *     in nats
   * @param perplexityRatio perplexity over that of the unshared model
   * @param agreement fraction of positions with the same most likely token
   * @param plainDivergence the divergence of the same plan without refitted weights, in nats
   */
  public record Validation(
      long tokens,
      double similarity,
      @JsonProperty("kl_divergence") double divergence,
      double perplexityRatio,
      @JsonProperty("top1_agreement") double agreement,
      @JsonProperty("kl_divergence_without_repair") double plainDivergence) {
    /** Rounds to the digits that the policy file keeps. */
    public Validation {
      similarity = CanonicalJson.rounded(similarity);
      divergence = CanonicalJson.rounded(divergence);
      perplexityRatio = CanonicalJson.rounded(perplexityRatio);
      agreement = CanonicalJson.rounded(agreement);
      plainDivergence = CanonicalJson.rounded(plainDivergence);
    }
  }

  /** Copies the lists, of which missing ones are empty, and rounds as the policy file does. */
  public Provenance {
    threshold = CanonicalJson.rounded(threshold);
    similarity = CanonicalJson.rounded(similarity);
    acrossKinds = Boolean.TRUE.equals(acrossKinds) ? acrossKinds : null;
    accepted = accepted == null ? List.of() : List.copyOf(accepted);
    rejected = rejected == null ? List.of() : List.copyOf(rejected);
    compared = compared == null ? List.of() : List.copyOf(compared);
  }

  /** Whether layers of different kinds of attention were allowed to share. */
  public boolean allowsKinds() {
    return acrossKinds != null;
  }

  /** Returns a builder that starts from this record. */
  public Builder toBuilder() {
    return builder()
        .method(method)
        .command(command)
        .threshold(threshold)
        .similarity(similarity)
        .recall(recall)
        .dataset(dataset)
        .samples(samples)
        .tokensPerSample(tokensPerSample)
        .seed(seed)
        .dtype(dtype)
        .threads(threads)
        .acrossKinds(acrossKinds)
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
    private String method;
    private String command;
    private Double threshold;
    private Double similarity;
    private Recall recall;
    private DatasetReference dataset;
    private Integer samples;
    private Integer tokensPerSample;
    private Long seed;
    private String dtype;
    private Integer threads;
    private Boolean acrossKinds;
    private List<Candidate> accepted;
    private List<Candidate> rejected;
    private List<ComparedMethod> compared;
    private DatasetReference repairDataset;
    private Validation validation;

    private Builder() {}

    /** Sets the name of the method that found the plan. */
    public Builder method(String value) {
      method = value;
      return this;
    }

    /** Sets the command that made the policy. */
    public Builder command(String value) {
      command = value;
      return this;
    }

    /** Sets the mean cosine similarity that a map had to exceed. */
    public Builder threshold(Double value) {
      threshold = value;
      return this;
    }

    /** Sets the mean cosine similarity of the final map. */
    public Builder similarity(Double value) {
      similarity = value;
      return this;
    }

    /** Sets how often planted facts are found again. */
    public Builder recall(Recall value) {
      recall = value;
      return this;
    }

    /** Sets the calibration text. */
    public Builder dataset(DatasetReference value) {
      dataset = value;
      return this;
    }

    /** Sets number of samples run. */
    public Builder samples(Integer value) {
      samples = value;
      return this;
    }

    /** Sets tokens of a sample. */
    public Builder tokensPerSample(Integer value) {
      tokensPerSample = value;
      return this;
    }

    /** Sets seed of everything random. */
    public Builder seed(Long value) {
      seed = value;
      return this;
    }

    /** Sets number format of the decoder. */
    public Builder dtype(String value) {
      dtype = value;
      return this;
    }

    /** Sets threads that computed. */
    public Builder threads(Integer value) {
      threads = value;
      return this;
    }

    /** Sets true where layers of different kinds of attention were allowed to share. */
    public Builder acrossKinds(Boolean value) {
      acrossKinds = value;
      return this;
    }

    /** Sets the accepted steps. */
    public Builder accepted(List<Candidate> value) {
      accepted = value;
      return this;
    }

    /** Sets the tested and refused steps. */
    public Builder rejected(List<Candidate> value) {
      rejected = value;
      return this;
    }

    /** Sets what each method found that was tried. */
    public Builder compared(List<ComparedMethod> value) {
      compared = value;
      return this;
    }

    /** Sets the text of the repair where it is another than that of the calibration. */
    public Builder repairDataset(DatasetReference value) {
      repairDataset = value;
      return this;
    }

    /** Sets how near the final plan comes to the unshared model. */
    public Builder validation(Validation value) {
      validation = value;
      return this;
    }

    /** Returns the record. */
    public Provenance build() {
      return new Provenance(
          method,
          command,
          threshold,
          similarity,
          recall,
          dataset,
          samples,
          tokensPerSample,
          seed,
          dtype,
          threads,
          acrossKinds,
          accepted,
          rejected,
          compared,
          repairDataset,
          validation);
    }
  }
}
