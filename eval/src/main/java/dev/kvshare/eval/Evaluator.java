package dev.kvshare.eval;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.quality.Estimate;
import dev.kvshare.eval.quality.PassageScore;
import dev.kvshare.eval.quality.Perplexities;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.StreamMeter;
import dev.kvshare.eval.quality.StreamReport;
import dev.kvshare.eval.quality.StreamRow;
import dev.kvshare.eval.speed.MeasuredSpeed;
import dev.kvshare.eval.speed.Speed;
import dev.kvshare.eval.speed.SpeedMeter;
import dev.kvshare.eval.speed.SpeedSettings;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Compares sharing policies of one model side by side: perplexity, divergence from the unshared
 * model, size of the KV cache and speed. The weights are loaded once; a policy only changes which
 * layers have a cache, and a cache policy what they keep of it.
 */
public final class Evaluator {
  private final Decoder decoder;
  private final int bytesPerElement;

  /**
   * Creates an evaluator.
   *
   * @param decoder the model, which stays open
   * @param bytesPerElement bytes of an element of its cache
   */
  public Evaluator(Decoder decoder, int bytesPerElement) {
    this.decoder = decoder;
    this.bytesPerElement = bytesPerElement;
  }

  /**
   * Measures the unshared model and each policy of {@code request}, each with the cache that keeps
   * everything and with each cache policy.
   *
   * @throws dev.kvshare.datasets.DatasetException if the text is too short
   * @throws EvaluationException if text and model do not fit each other, or a likelihood is not a
   *     number
   */
  public EvaluationReport evaluate(EvaluationRequest request, EvaluationListener listener) {
    Passages windows = request.text().cut();
    checkFits(windows);
    Variants variants = Variants.of(decoder.spec().plan(), request);
    QualityMeter.Limits limits =
        request.caches() == null ? QualityMeter.Limits.DEFAULT : QualityMeter.Limits.STEPWISE;
    int length = windows.passages().get(0).length;
    int prompt = request.caches() == null ? 1 : request.caches().promptTokens(length);
    QualityMeter meter = new QualityMeter(decoder, limits, listener);
    List<List<PassageScore>> scores =
        meter.measure(windows.passages(), variants.distinct(), prompt);
    checkFinite(variants.distinct(), scores);
    MeasuredSpeed speed = speed(request, windows, variants, listener);
    List<EvaluationRow> rows = new ArrayList<>();
    for (int m = 0; m < variants.rows().size(); m++) {
      Variant variant = variants.rows().get(m);
      int place = variants.place(m);
      CacheSavings cache =
          request.caches() == null ? null : savings(variant, length, meter.compressedBytes(place));
      EvaluationRow row = row(variant, length, scores.get(place), scores.get(0), cache);
      rows.add(speed.speeds().isEmpty() ? row : row.withSpeed(speed.speeds().get(m)));
    }
    List<String> warnings = new ArrayList<>(windows.notes());
    warnings.addAll(speed.warnings());
    CalibrationOverlap overlap =
        new CalibrationOverlap(request.datasets(), request.text().corpus());
    request.policies().forEach(evaluated -> overlap.warning(evaluated).ifPresent(warnings::add));
    return new EvaluationReport(windows, rows, warnings);
  }

  /**
   * Measures the speed of each row that {@link #evaluate} would give, and nothing else.
   *
   * @throws dev.kvshare.datasets.DatasetException if the text is too short
   * @throws EvaluationException if text and model do not fit each other
   */
  public MeasuredSpeed speed(EvaluationRequest request, EvaluationListener listener) {
    Passages windows = request.text().cut();
    checkFits(windows);
    return speed(request, windows, Variants.of(decoder.spec().plan(), request), listener);
  }

  /**
   * Reads the text of {@code request}, its windows one behind another as one long text, under each
   * sharing map with the whole cache and with each cache policy.
   *
   * @return a row each, a window being a stretch
   * @throws EvaluationException if the text does not fit the model
   */
  public StreamReport stream(EvaluationRequest request, EvaluationListener listener) {
    Passages windows = request.text().cut();
    checkVocabulary(windows);
    int[] text = windows.passages().stream().flatMapToInt(Arrays::stream).toArray();
    int learned = decoder.spec().learnedPositions();
    if (learned > 0 && text.length > learned) {
      throw new EvaluationException(
          "A text of %d tokens is longer than the %d positions that this model has learned. Use a shorter one."
              .formatted(text.length, learned));
    }
    StreamMeter meter = new StreamMeter(decoder, listener);
    List<StreamRow> rows = new ArrayList<>();
    for (Variant variant : Variants.of(decoder.spec().plan(), request).rows()) {
      CachePolicy cache = variant.cachePolicy();
      rows.add(
          new StreamRow(
              variant.sharing(),
              cache == null ? null : cache.name(),
              meter.measure(text, variant, windows.passages().get(0).length)));
    }
    return new StreamReport(windows, rows);
  }

  private void checkVocabulary(Passages windows) {
    ModelSpec spec = decoder.spec();
    if (windows.highestId() >= spec.vocabularySize()) {
      throw new EvaluationException(
          "The text %s has the token id %d, but the vocabulary of the model ends at %d. Use token ids of this model's tokenizer."
              .formatted(windows.name(), windows.highestId(), spec.vocabularySize() - 1));
    }
  }

  private void checkFits(Passages windows) {
    checkVocabulary(windows);
    ModelSpec spec = decoder.spec();
    int length = windows.passages().get(0).length;
    if (length > spec.maxPositions()) {
      throw new EvaluationException(
          "A passage of %d tokens is longer than the %d positions that the model was made for. Use --passage-tokens %d."
              .formatted(length, spec.maxPositions(), spec.maxPositions()));
    }
  }

  private static void checkFinite(List<Variant> variants, List<List<PassageScore>> scores) {
    for (int m = 0; m < scores.size(); m++) {
      for (int w = 0; w < scores.get(m).size(); w++) {
        if (!Double.isFinite(scores.get(m).get(w).loss())) {
          throw new EvaluationException(
              "The likelihood of window %d under %s is not a number. Check the weights with `kvshare inspect`, or use --dtype float32."
                  .formatted(w + 1, variants.get(m).title()));
        }
      }
    }
  }

  private MeasuredSpeed speed(
      EvaluationRequest request, Passages windows, Variants variants, EvaluationListener listener) {
    SpeedSettings settings = request.speed();
    if (settings == null) {
      return new MeasuredSpeed(List.of(), List.of());
    }
    int[] running = windows.passages().stream().flatMapToInt(Arrays::stream).toArray();
    int room = Math.max(1, decoder.spec().maxPositions() - settings.newTokens());
    int length = Math.min(Math.min(settings.promptTokens(), running.length), room);
    List<String> warnings = new ArrayList<>();
    if (length < settings.promptTokens()) {
      warnings.add(
          "The speed was measured with a prompt of %d tokens instead of %d: the text or the positions of the model end there."
              .formatted(length, settings.promptTokens()));
    }
    List<Speed> speeds =
        new SpeedMeter(decoder, settings, listener)
            .measure(Arrays.copyOf(running, length), variants.distinct());
    return new MeasuredSpeed(
        IntStream.range(0, variants.rows().size())
            .mapToObj(row -> speeds.get(variants.place(row)))
            .toList(),
        warnings);
  }

  private CacheSavings savings(Variant variant, int tokens, long compressedBytes) {
    long owned = decoder.spec().kvUse(variant.options().plan()).bytes(tokens, bytesPerElement);
    boolean whole = variant.cachePolicy() == null;
    long kept = whole ? owned : compressedBytes;
    return new CacheSavings(
        whole ? null : variant.cachePolicy().name(),
        (double) owned / (tokens * allBytesPerToken()),
        (double) kept / owned,
        kept);
  }

  private long allBytesPerToken() {
    ModelSpec spec = decoder.spec();
    return spec.kvUse(Plan.identity(spec.layers())).bytesPerToken(bytesPerElement);
  }

  private EvaluationRow row(
      Variant variant,
      int length,
      List<PassageScore> scores,
      List<PassageScore> unshared,
      CacheSavings cache) {
    long bytes = decoder.spec().kvUse(variant.options().plan()).bytes(length, bytesPerElement);
    double sharing = (double) bytes / (length * allBytesPerToken());
    double tokens = scores.stream().mapToLong(PassageScore::tokens).sum();
    return new EvaluationRow(
        variant.sharing(),
        Perplexities.perplexity(scores),
        scores == unshared ? new Estimate(1, 0) : Perplexities.ratio(scores, unshared),
        scores.stream().mapToDouble(PassageScore::divergence).sum() / tokens,
        scores.stream().mapToLong(PassageScore::agreements).sum() / tokens,
        cache == null ? sharing : sharing * cache.policyFraction(),
        Math.round((double) bytes / length),
        cache,
        null);
  }
}
