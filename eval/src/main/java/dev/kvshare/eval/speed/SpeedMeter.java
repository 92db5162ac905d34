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
import java.util.function.ToDoubleFunction;

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
   * The speed of each variant with a prompt from the start of a text.
   *
   * @param warnings is told where text or model are too short for the prompt that was asked for
   */
  public List<Speed> measure(int[] text, List<Variant> variants, List<String> warnings) {
    int room = Math.max(1, decoder.spec().maxPositions() - settings.newTokens());
    int length = Math.min(Math.min(settings.promptTokens(), text.length), room);
    if (length < settings.promptTokens()) {
      warnings.add(
          "The speed was measured with a prompt of %d tokens instead of %d: the text or the positions of the model end there."
              .formatted(length, settings.promptTokens()));
    }
    int[] prompt = Arrays.copyOf(text, length);
    List<List<Speed>> speeds = new ArrayList<>();
    variants.forEach(variant -> speeds.add(new ArrayList<>()));
    int steps = (settings.rounds() + 1) * variants.size();
    for (int step = 0; step < steps; step++) {
      listener.onProgress("speed", step, steps);
      int variant = step % variants.size();
      Speed found = run(prompt, variants.get(variant));
      if (step >= variants.size()) {
        speeds.get(variant).add(found);
      }
    }
    listener.onProgress("speed", steps, steps);
    return speeds.stream()
        .map(
            rounds ->
                new Speed(
                    median(rounds, Speed::prefillTokensPerSecond),
                    median(rounds, Speed::decodeTokensPerSecond),
                    median(rounds, Speed::prefillSeconds)))
        .toList();
  }

  private Speed run(int[] prompt, Variant variant) {
    int capacity = prompt.length + settings.newTokens();
    try (DecodingCache cache =
        decoder.newCache(variant.options(), variant.cachePolicy(), 1, capacity)) {
      long start = System.nanoTime();
      long[] first = prefill(decoder, PromptBatch.of(prompt), cache);
      long prefilled = System.nanoTime();
      decode(decoder, first, cache, settings.newTokens());
      long end = System.nanoTime();
      return new Speed(
          prompt.length * NANOSECONDS / (prefilled - start),
          settings.newTokens() * NANOSECONDS / (end - prefilled),
          (prefilled - start) / NANOSECONDS);
    }
  }

  /** Reads prompts and returns the most likely token behind each, [B]. */
  static long[] prefill(Decoder decoder, PromptBatch prompts, DecodingCache cache) {
    return best(decoder.prefill(prompts, cache, PREFILL_CHUNK));
  }

  /** Decodes the most likely tokens behind {@code first} [B], greedily. */
  static void decode(Decoder decoder, long[] first, DecodingCache cache, int newTokens) {
    long[] tokens = first;
    try (NDManager scratch = decoder.newManager()) {
      for (int i = 0; i < newTokens; i++) {
        try (NDArray ids = scratch.create(tokens)) {
          tokens = best(decoder.decode(ids, cache));
        }
      }
    }
  }

  /** Reading the tokens waits for the device to finish. */
  private static long[] best(NDArray logits) {
    try (logits;
        NDArray best = logits.argMax(1)) {
      return best.toLongArray();
    }
  }

  private static double median(List<Speed> speeds, ToDoubleFunction<Speed> value) {
    return median(speeds.stream().mapToDouble(value).toArray());
  }

  static double median(double... values) {
    double[] sorted = Arrays.stream(values).sorted().toArray();
    int middle = sorted.length / 2;
    return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }
}
