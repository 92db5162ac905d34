package dev.kvshare.calibrate.search;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.Interrupts;
import dev.kvshare.calibrate.repair.Repair;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.calibrate.repair.RepairSettings;
import dev.kvshare.calibrate.repair.RepairTrials;
import dev.kvshare.calibrate.repair.fit.QueryFit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/**
 * Repairs every map on a few windows of the calibration text: queries, by one step, and attention
 * output of the shared layers alone, with one regularisation. That ranks maps as a whole repair
 * does and costs a fraction of it.
 *
 * <p>The unshared model runs when the first map is measured.
 */
public final class BenchProbe implements RepairedProbe, AutoCloseable {
  /** Tokens of a window of text. */
  public static final int WINDOW_TOKENS = 128;

  /** So many times longer, and as many times fewer, where layers are windowed. */
  static final int LONGER = 4;

  private static final int WINDOWS = 48;
  private static final int VALIDATION_EVERY = 3;

  /** Windows below which a fit says nothing. */
  private static final int FEWEST_WINDOWS = 8;

  /** Streams of all tokens that a bench keeps a layer. */
  public static final int STREAMS_PER_LAYER = 6;

  /** How queries are fitted. */
  public static final QueryFit.Settings QUERIES = new QueryFit.Settings(1, 6, 1e-2, 4096);

  private static final RepairSettings SETTINGS =
      RepairSettings.DEFAULT
          .withParts(Set.of(Part.ATTENTION))
          .withScope(RepairSettings.Scope.SHARED)
          .withQueries(QUERIES)
          .withStrength(1e-1);

  private final Decoder decoder;
  private final RepairPassages windows;
  private RepairTrials bench;

  /**
   * A probe with nothing run.
   *
   * @param text token ids, one array a window
   * @param windowTokens tokens taken of each; the number of windows is chosen so that all have as
   *     many tokens as {@link #WINDOW_TOKENS} gives
   * @param maxStateBytes most bytes of hidden states; a small limit takes windows away
   */
  BenchProbe(Decoder decoder, List<int[]> text, int windowTokens, long maxStateBytes) {
    this.decoder = decoder;
    this.windows = windows(decoder.spec(), text, windowTokens, maxStateBytes);
  }

  /** Windows spread evenly over the text, every third of which judges. */
  private static RepairPassages windows(
      ModelSpec spec, List<int[]> text, int windowTokens, long maxStateBytes) {
    long most = Math.max(FEWEST_WINDOWS, tokens(spec, maxStateBytes) / windowTokens);
    long count = Math.min(most, text.size());
    List<int[]> chosen = new ArrayList<>();
    for (long window = 0; window < count; window++) {
      int[] whole = text.get(Math.toIntExact(window * text.size() / count));
      chosen.add(Arrays.copyOf(whole, Math.min(whole.length, windowTokens)));
    }
    return RepairPassages.split(chosen, VALIDATION_EVERY);
  }

  private static long mostWindows(ModelSpec spec, long maxStateBytes) {
    long windowBytes =
        (long) STREAMS_PER_LAYER * spec.layers() * WINDOW_TOKENS * spec.hiddenSize() * Float.BYTES;
    return Math.max(FEWEST_WINDOWS, Math.min(WINDOWS, maxStateBytes / windowBytes));
  }

  /** Tokens of the windows, where the text has as many. */
  public static long tokens(ModelSpec spec, long maxStateBytes) {
    return mostWindows(spec, maxStateBytes) * WINDOW_TOKENS;
  }

  /** The text that decides, for the journal. */
  RepairPassages windows() {
    return windows;
  }

  @Override
  public RepairQuality quality(Plan plan) {
    return bench().quality(plan, done -> Interrupts.check());
  }

  @Override
  public void accepted(Plan plan) {
    bench().accept(plan, done -> Interrupts.check());
  }

  private RepairTrials bench() {
    if (bench == null) {
      bench = new Repair(decoder, SETTINGS).trials(windows);
    }
    return bench;
  }

  @Override
  public void close() {
    if (bench != null) {
      bench.close();
    }
  }
}
