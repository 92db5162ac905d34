package dev.kvshare.apply.policy;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.stream.Stream;

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
 * @param acrossKinds true where layers of different kinds of attention were allowed to share, else
 *     null
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
   * How many of the numbers that were planted in long texts are found again: generated exactly as
   * planted, each with the greatest likelihood. A kind of passage of which the unshared model
   * itself finds less than a fifth says nothing, and is not measured under the plan.
   *
   * @param exact share found under the plan, 0 to 1, of the kinds that say something; null if none
   *     does
   * @param unshared share of the same found by the unshared model; of all kinds if none says
   *     something
   * @param context tokens of a passage, or null where not known, as the kinds
   * @param singleKey passages with one number
   * @param fourKeys passages with four numbers, one of which is asked for
   */
  public record Recall(
      Double exact, double unshared, Integer context, Answers singleKey, Answers fourKeys) {

    /**
     * The answers to one kind of passage.
     *
     * @param passages how many were asked
     * @param unsharedExact numbers that the unshared model found
     * @param unsharedLogLikelihood of the right answers by the unshared model, in nats a token
     * @param exact numbers found under the plan; null where the kind says nothing, as the next two
     * @param logLikelihood the same under the plan
     * @param divergence mean KL divergence from the unshared model on the tokens of the answers, in
     *     nats
     */
    public record Answers(
        int passages,
        int unsharedExact,
        double unsharedLogLikelihood,
        Integer exact,
        Double logLikelihood,
        @JsonProperty("kl_divergence") Double divergence) {
      public Answers {
        unsharedLogLikelihood = CanonicalJson.rounded(unsharedLogLikelihood);
        logLikelihood = CanonicalJson.rounded(logLikelihood);
        divergence = CanonicalJson.rounded(divergence);
      }

      /** Whether the unshared model finds enough for a comparison. */
      public boolean tells() {
        return exact != null;
      }

      private String words() {
        return tells()
            ? "%d of %d, unshared %d".formatted(exact, passages, unsharedExact)
            : "says nothing, the unshared model itself finds %d of %d"
                .formatted(unsharedExact, passages);
      }
    }

    public Recall {
      exact = CanonicalJson.rounded(exact);
      unshared = CanonicalJson.rounded(unshared);
    }

    /** Of both kinds. */
    public static Recall of(int context, Answers singleKey, Answers fourKeys) {
      List<Answers> kinds = List.of(singleKey, fourKeys);
      List<Answers> told = kinds.stream().filter(Answers::tells).toList();
      List<Answers> counted = told.isEmpty() ? kinds : told;
      double passages = counted.stream().mapToInt(Answers::passages).sum();
      return new Recall(
          told.isEmpty() ? null : told.stream().mapToInt(Answers::exact).sum() / passages,
          counted.stream().mapToInt(Answers::unsharedExact).sum() / passages,
          context,
          singleKey,
          fourKeys);
    }

    /**
     * Mean KL divergence in nats on the answers of the kinds that say something; 0 if none does.
     */
    public double meanDivergence() {
      return kinds().filter(Answers::tells).mapToDouble(Answers::divergence).average().orElse(0);
    }

    /** What was found, in words. */
    public String words() {
      if (singleKey == null || fourKeys == null) {
        return format(
            "%s of hidden numbers found, by the unshared model %.0f %%",
            exact == null ? "none" : format("%.0f %%", 100 * exact), 100 * unshared);
      }
      List<Answers> told = kinds().filter(Answers::tells).toList();
      List<Answers> counted = told.isEmpty() ? kinds().toList() : told;
      int passages = counted.stream().mapToInt(Answers::passages).sum();
      int byUnshared = counted.stream().mapToInt(Answers::unsharedExact).sum();
      if (told.isEmpty()) {
        return format(
            "nothing to compare, as the unshared model itself finds %d of %d hidden numbers at %,d tokens",
            byUnshared, passages, context);
      }
      return format(
          "the plan finds %d of %d hidden numbers at %,d tokens; unshared %d of %d (one number in the text: %s; four numbers: %s); KL divergence on the answers %.4f",
          told.stream().mapToInt(Answers::exact).sum(),
          passages,
          context,
          byUnshared,
          passages,
          singleKey.words(),
          fourKeys.words(),
          meanDivergence());
    }

    private Stream<Answers> kinds() {
      return Stream.of(singleKey, fourKeys);
    }

    private static String format(String pattern, Object... values) {
      return String.format(Locale.ROOT, pattern, values);
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
   * @param recall of its plan, null where that did not take part in the choice
   */
  public record ComparedMethod(
      String method,
      int reducedLayers,
      boolean reached,
      @JsonProperty("kl_divergence") double divergence,
      double perplexityRatio,
      @JsonProperty("top1_agreement") double agreement,
      double similarity,
      Recall recall) {
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

  /** The same with what {@code change} sets; {@code before} is null for none. */
  static Provenance changed(Provenance before, Consumer<Draft> change) {
    Draft draft = before == null ? new Draft() : PolicyJson.convert(before, Draft.class);
    change.accept(draft);
    return PolicyJson.convert(draft, Provenance.class);
  }

  /**
   * The components of a {@link Provenance}, to be set one by one: see {@link
   * Policy#withCalibration}.
   */
  public static final class Draft {
    public String method;
    public String command;
    public Double threshold;
    public Double similarity;
    public Recall recall;
    public DatasetReference dataset;
    public Integer samples;
    public Integer tokensPerSample;
    public Long seed;
    public String dtype;
    public Integer threads;
    public Boolean acrossKinds;
    public List<Candidate> accepted;
    public List<Candidate> rejected;
    public List<ComparedMethod> compared;
    public DatasetReference repairDataset;
    public Validation validation;
  }
}
