package dev.kvshare.calibrate.search;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.RefittedWeights;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.repair.RepairTrials;
import dev.kvshare.calibrate.repair.fit.QueryFit;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/**
 * Repairs every plan on a few passages of the calibration text: the attention output of the reduced
 * layers alone, with one regularisation. That ranks plans as a whole repair does and costs a
 * fraction of it; fits of queries are left to the repair of the plan that is taken.
 *
 * <p>The unshared model runs when the first plan is measured.
 */
public final class ShortRepair implements AutoCloseable {
  /** Of a passage where layers share only. */
  public static final int PASSAGE_TOKENS = 128;

  private static final int TOKENS = 3072;
  private static final int VALIDATION_EVERY = 3;

  /** Passages below which a fit says nothing. */
  private static final int FEWEST_PASSAGES = 5;

  /** Streams of all tokens that are kept a layer. */
  public static final int STREAMS_PER_LAYER = 6;

  private static final RepairSettings SETTINGS =
      new RepairSettings(
          Set.of(Part.ATTENTION),
          RepairSettings.Scope.SHARED,
          true,
          QueryFit.Settings.NONE,
          List.of(1e-1));

  private final Decoder decoder;
  private final RepairPassages passages;
  private RepairTrials trials;
  private Plan repaired;
  private RepairTrials.Trial last;

  /**
   * Nothing is run yet.
   *
   * @param text token ids, one array a passage
   * @param windowed whether layers may be windowed: passages are whole then, and fewer, as what
   *     these lose is seen behind their windows only
   * @param maxStateBytes most bytes of hidden states; a small limit takes passages away
   */
  ShortRepair(Decoder decoder, List<int[]> text, boolean windowed, long maxStateBytes) {
    this.decoder = decoder;
    int longest = text.stream().mapToInt(ids -> ids.length).max().orElse(PASSAGE_TOKENS);
    int length = windowed ? longest : PASSAGE_TOKENS;
    this.passages = passages(decoder.spec(), text, length, maxStateBytes);
  }

  /** Passages spread evenly over the text, every third of which judges. */
  private static RepairPassages passages(
      ModelSpec spec, List<int[]> text, int length, long maxStateBytes) {
    List<int[]> chosen =
        RepairPassages.spread(text, tokens(spec, length, maxStateBytes) / length).stream()
            .map(ids -> Arrays.copyOf(ids, Math.min(ids.length, length)))
            .toList();
    return RepairPassages.split(chosen, VALIDATION_EVERY);
  }

  /**
   * Tokens of the passages, where the text has as many.
   *
   * @param length tokens of a passage
   */
  public static long tokens(ModelSpec spec, int length, long maxStateBytes) {
    long tokenBytes = (long) STREAMS_PER_LAYER * spec.layers() * spec.hiddenSize() * Float.BYTES;
    long most = Math.min(TOKENS, maxStateBytes / tokenBytes);
    return Math.max(FEWEST_PASSAGES, most / length) * length;
  }

  /** The text that decides, for the journal. */
  RepairPassages passages() {
    return passages;
  }

  /** How near a plan comes. */
  RepairQuality quality(Plan plan) {
    return trial(plan).quality();
  }

  /** The refitted weights of a plan, null for none; not repaired again if it was the last one. */
  RefittedWeights weights(Plan plan) {
    RefittedWeights weights = plan.equals(repaired) ? last.weights() : trial(plan).weights();
    return weights.names().isEmpty() ? null : weights;
  }

  private RepairTrials.Trial trial(Plan plan) {
    last = trials().trial(plan, done -> CalibrationException.Interrupted.check());
    repaired = plan;
    return last;
  }

  /** The same without any repair. */
  RepairQuality unrepaired(Plan plan) {
    return trials().unrepaired(plan, done -> CalibrationException.Interrupted.check());
  }

  private RepairTrials trials() {
    if (trials == null) {
      trials = new RepairTrials(decoder, SETTINGS, passages);
    }
    return trials;
  }

  @Override
  public void close() {
    if (trials != null) {
      trials.close();
    }
  }
}
