package dev.kvshare.calibrate;

import dev.kvshare.calibrate.search.AutoStrategy;
import dev.kvshare.calibrate.search.CandidateOrder;
import dev.kvshare.calibrate.search.DissimilarOrder;
import dev.kvshare.calibrate.search.SearchStrategy;
import java.nio.file.Path;
import java.util.List;

/**
 * What a calibration is to find and how.
 *
 * @param strategy how the map is searched
 * @param budget how much of the KV cache the policy may keep
 * @param limits what an accepted map keeps
 * @param seed written to the policy; the random order was made with it
 * @param window what windowed layers keep, null where layers only share; they are the goal of a
 *     budget of {@link KvBudget.WindowedLayers}, else what {@link AutoStrategy} also tries
 * @param acrossKinds whether layers with a sliding window and layers with full attention may share
 *     with each other; by default only layers of one kind do
 * @param text token ids, one array a window, on which maps are repaired and compared; empty for the
 *     samples
 * @param maxStateBytes most bytes of hidden states kept for resuming candidates; what does not fit
 *     is computed again
 * @param maxBatchTokens most tokens that run through the model at once
 * @param journal file of the progress of the search, or null for none; whoever keeps the policy
 *     deletes it then, so that a failure to write the policy loses nothing
 * @param resume whether to go on where the journal ends, if it exists
 */
public record CalibrationSettings(
    SearchStrategy strategy,
    KvBudget budget,
    QualityLimits limits,
    long seed,
    LayerWindow window,
    boolean acrossKinds,
    List<int[]> text,
    long maxStateBytes,
    int maxBatchTokens,
    Path journal,
    boolean resume) {
  /**
   * Enough rows for matrix products at full speed on a CPU; more would run samples of candidates
   * that could have been dropped before.
   */
  private static final int DEFAULT_BATCH_TOKENS = 512;

  /** Checks the values. */
  public CalibrationSettings {
    text = List.copyOf(text);
    if (window != null && strategy instanceof CandidateOrder) {
      throw new CalibrationUsageException(
          "The strategy %s orders pairs of layers that share, and windowed layers do not: choose auto or greedy for them."
              .formatted(strategy.strategy()));
    }
    if (window == null && budget instanceof KvBudget.WindowedLayers) {
      throw new CalibrationUsageException(
          "Layers are to be windowed, and the window is missing: say what they keep.");
    }
    if (window != null
        && !(budget instanceof KvBudget.WindowedLayers || strategy instanceof AutoStrategy)) {
      throw new CalibrationUsageException(
          "The strategy %s reduces layers in one way: choose auto to compare sharing and windows, or give the number of windowed layers."
              .formatted(strategy.strategy()));
    }
    if (window != null && !window.isSeenIn(text)) {
      throw new CalibrationUsageException(
          "The text has no passage of more than %d tokens, so that what layers lose which keep the first %d and the last %d cannot be seen: give a longer text or a smaller window."
              .formatted(window.tokens() + window.sinks(), window.sinks(), window.tokens()));
    }
    if (maxStateBytes < 0 || maxBatchTokens < 1) {
      throw new CalibrationUsageException(
          "The memory for hidden states must be at least 0 bytes and a batch at least 1 token, not %d and %d."
              .formatted(maxStateBytes, maxBatchTokens));
    }
    if (resume && journal == null) {
      throw new CalibrationUsageException(
          "A calibration can only be resumed from its journal, and none is named.");
    }
  }

  /** The reference settings: dissimilar layers first, threshold 0.5, 70 % kept, no journal. */
  public static Builder builder() {
    return new Builder();
  }

  /** Collects the components of {@link CalibrationSettings}, starting from the defaults. */
  public static final class Builder {
    private SearchStrategy strategy = new DissimilarOrder();
    private KvBudget budget = KvBudget.DEFAULT;
    private QualityLimits limits = QualityLimits.DEFAULT;
    private long seed;
    private LayerWindow window;
    private boolean acrossKinds;
    private List<int[]> text = List.of();
    private long maxStateBytes = 2L << 30;
    private int maxBatchTokens = DEFAULT_BATCH_TOKENS;
    private Path journal;
    private boolean resume;

    private Builder() {}

    /** Sets the search strategy. */
    public Builder strategy(SearchStrategy value) {
      strategy = value;
      return this;
    }

    /** Sets how much of the KV cache the policy may keep. */
    public Builder budget(KvBudget value) {
      budget = value;
      return this;
    }

    /** Sets the similarity that an accepted map exceeds, and no other limit. */
    public Builder threshold(double value) {
      return limits(QualityLimits.ofThreshold(value));
    }

    /** Sets what an accepted map keeps. */
    public Builder limits(QualityLimits value) {
      limits = value;
      return this;
    }

    /** Sets the text on which maps are repaired and compared. */
    public Builder text(List<int[]> value) {
      text = value;
      return this;
    }

    /** Sets the seed that is written to the policy. */
    public Builder seed(long value) {
      seed = value;
      return this;
    }

    /** Lets layers keep the first and last tokens instead of sharing; null for sharing. */
    public Builder window(LayerWindow value) {
      window = value;
      return this;
    }

    /** Lets sliding-window and full-attention layers share with each other. */
    public Builder acrossKinds(boolean value) {
      acrossKinds = value;
      return this;
    }

    /** Sets the most bytes of hidden states kept for resuming. */
    public Builder maxStateBytes(long value) {
      maxStateBytes = value;
      return this;
    }

    /** Sets the most tokens that run through the model at once. */
    public Builder maxBatchTokens(int value) {
      maxBatchTokens = value;
      return this;
    }

    /** Sets the file of the progress of the search. */
    public Builder journal(Path value) {
      journal = value;
      return this;
    }

    /** Goes on where the journal ends. */
    public Builder resume(boolean value) {
      resume = value;
      return this;
    }

    /** Returns the settings. */
    public CalibrationSettings build() {
      return new CalibrationSettings(
          strategy,
          budget,
          limits,
          seed,
          window,
          acrossKinds,
          text,
          maxStateBytes,
          maxBatchTokens,
          journal,
          resume);
    }
  }
}
