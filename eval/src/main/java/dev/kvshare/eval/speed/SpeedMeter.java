package dev.kvshare.eval.speed;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.Variant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Measures prefill and decoding of one prompt under several variants. They take turns within each
 * round, so that a disturbance of the machine meets all of them alike; a first round is not
 * counted.
 */
public final class SpeedMeter {
  private static final int PREFILL_CHUNK = 512;
  private static final double NANOSECONDS = 1e9;

  private final Decoder decoder;
  private final Settings settings;
  private final QualityMeter.Listener listener;

  /**
   * How speed is measured.
   *
   * @param promptTokens tokens of the prompt
   * @param newTokens tokens decoded after it
   * @param rounds repetitions, of which the median counts
   */
  public record Settings(int promptTokens, int newTokens, int rounds) {
    /** A prompt of 256 tokens, 32 new ones, three rounds. */
    public static final Settings DEFAULT = new Settings(256, 32, 3);

    /** Refuses counts below one. */
    public Settings {
      if (promptTokens < 1 || newTokens < 1 || rounds < 1) {
        throw new IllegalArgumentException(
            "prompt tokens, new tokens and rounds must be at least 1, found %d, %d and %d"
                .formatted(promptTokens, newTokens, rounds));
      }
    }
  }

  /**
   * Medians over the rounds, batch 1.
   *
   * @param prefillTokensPerSecond tokens of the prompt a second
   * @param decodeTokensPerSecond new tokens a second
   * @param prefillSeconds time of the whole prompt
   */
  public record Speed(
      double prefillTokensPerSecond, double decodeTokensPerSecond, double prefillSeconds) {}

  public SpeedMeter(Decoder decoder, Settings settings, QualityMeter.Listener listener) {
    this.decoder = decoder;
    this.settings = settings;
    this.listener = listener;
  }

  /**
   * Returns the speed of each variant.
   *
   * @param prompt token ids
   */
  public List<Speed> measure(int[] prompt, List<Variant> variants) {
    List<List<Speed>> rounds = new ArrayList<>();
    int steps = (settings.rounds() + 1) * variants.size();
    int done = 0;
    for (int round = 0; round <= settings.rounds(); round++) {
      List<Speed> speeds = new ArrayList<>();
      for (Variant variant : variants) {
        listener.onProgress("speed", done++, steps);
        speeds.add(run(prompt, variant));
      }
      if (round > 0) {
        rounds.add(speeds);
      }
    }
    listener.onProgress("speed", steps, steps);
    return IntStream.range(0, variants.size())
        .mapToObj(v -> median(rounds.stream().map(speeds -> speeds.get(v)).toList()))
        .toList();
  }

  private Speed run(int[] prompt, Variant variant) {
    int capacity = prompt.length + settings.newTokens();
    try (NDManager scratch = decoder.newManager();
        DecodingCache cache =
            decoder.newCache(variant.options(), variant.cachePolicy(), 1, capacity)) {
      long start = System.nanoTime();
      NDArray token =
          choose(decoder.prefill(PromptBatch.of(prompt), cache, PREFILL_CHUNK), scratch);
      long prefilled = System.nanoTime();
      for (int i = 0; i < settings.newTokens(); i++) {
        token = choose(decoder.decode(token, cache), scratch);
      }
      long end = System.nanoTime();
      return new Speed(
          prompt.length * NANOSECONDS / (prefilled - start),
          settings.newTokens() * NANOSECONDS / (end - prefilled),
          (prefilled - start) / NANOSECONDS);
    }
  }

  /** Returns the most likely token, int64 [1]; reading it waits for the device to finish. */
  private static NDArray choose(NDArray logits, NDManager scratch) {
    try (logits;
        NDArray best = logits.argMax(1)) {
      return scratch.create(best.toLongArray());
    }
  }

  private static Speed median(List<Speed> speeds) {
    return new Speed(
        median(speeds.stream().mapToDouble(Speed::prefillTokensPerSecond).toArray()),
        median(speeds.stream().mapToDouble(Speed::decodeTokensPerSecond).toArray()),
        median(speeds.stream().mapToDouble(Speed::prefillSeconds).toArray()));
  }

  private static double median(double[] values) {
    Arrays.sort(values);
    int middle = values.length / 2;
    return values.length % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  }
}
