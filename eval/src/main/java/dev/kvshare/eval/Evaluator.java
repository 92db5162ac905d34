package dev.kvshare.eval;

import dev.kvshare.datasets.TokenWindows;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.policy.SharingPlan;
import dev.kvshare.runtime.CacheOptions;
import dev.kvshare.runtime.Decoder;
import dev.kvshare.runtime.cache.CachePolicy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

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
    TokenWindows windows = request.text().cut();
    checkFits(windows);
    List<Variant> variants = variants(request);
    QualityMeter.Limits limits =
        request.caches() == null ? QualityMeter.Limits.DEFAULT : QualityMeter.Limits.STEPWISE;
    int length = windows.windows().get(0).length;
    int prompt = request.caches() == null ? 1 : request.caches().promptTokens(length);
    QualityMeter meter = new QualityMeter(decoder, limits, listener);
    List<List<WindowScore>> scores = meter.measure(windows.windows(), variants, prompt);
    checkFinite(variants, scores);
    List<String> warnings = new ArrayList<>(windows.notes());
    List<Speed> speeds = speeds(request, windows, variants, warnings, listener);
    List<EvaluationRow> rows = new ArrayList<>();
    for (int m = 0; m < variants.size(); m++) {
      Speed speed = speeds.isEmpty() ? null : speeds.get(m);
      CacheSavings cache =
          request.caches() == null
              ? null
              : savings(variants.get(m), length, meter.compressedBytes(m));
      rows.add(row(variants.get(m), scores.get(m), scores.get(0), cache, speed));
    }
    CalibrationOverlap overlap =
        new CalibrationOverlap(request.datasets(), request.text().corpus());
    request.policies().forEach(evaluated -> overlap.warning(evaluated).ifPresent(warnings::add));
    return new EvaluationReport(windows, rows, warnings);
  }

  /**
   * Reads the text of {@code request}, its windows one behind another as one long text, under each
   * sharing map with the whole cache and with each cache policy.
   *
   * @return a row each, a window being a stretch
   * @throws EvaluationException if the text does not fit the model
   */
  public List<StreamRow> stream(EvaluationRequest request, EvaluationListener listener) {
    TokenWindows windows = request.text().cut();
    checkVocabulary(windows);
    int[] text = windows.windows().stream().flatMapToInt(Arrays::stream).toArray();
    int learned = decoder.spec().learnedPositions();
    if (learned > 0 && text.length > learned) {
      throw new EvaluationException(
          "A text of %d tokens is longer than the %d positions that this model has learned. Use a shorter one."
              .formatted(text.length, learned));
    }
    StreamMeter meter = new StreamMeter(decoder, listener);
    List<StreamRow> rows = new ArrayList<>();
    for (Variant variant : variants(request)) {
      CachePolicy cache = variant.cachePolicy();
      rows.add(
          new StreamRow(
              variant.sharing(),
              cache == null ? null : cache.name(),
              meter.measure(text, variant, windows.windows().get(0).length)));
    }
    return rows;
  }

  private void checkVocabulary(TokenWindows windows) {
    ModelSpec spec = decoder.spec();
    if (windows.highestId() >= spec.vocabularySize()) {
      throw new EvaluationException(
          "The text %s has the token id %d, but the vocabulary of the model ends at %d. Use token ids of this model's tokenizer."
              .formatted(windows.name(), windows.highestId(), spec.vocabularySize() - 1));
    }
  }

  private void checkFits(TokenWindows windows) {
    checkVocabulary(windows);
    ModelSpec spec = decoder.spec();
    int length = windows.windows().get(0).length;
    if (length > spec.maxPositions()) {
      throw new EvaluationException(
          "A window of %d tokens is longer than the %d positions that the model was made for. Use --window %d."
              .formatted(length, spec.maxPositions(), spec.maxPositions()));
    }
  }

  private static void checkFinite(List<Variant> variants, List<List<WindowScore>> scores) {
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

  private List<Speed> speeds(
      EvaluationRequest request,
      TokenWindows windows,
      List<Variant> variants,
      List<String> warnings,
      EvaluationListener listener) {
    SpeedSettings speed = request.speed();
    if (speed == null) {
      return List.of();
    }
    int[] running = windows.windows().stream().flatMapToInt(Arrays::stream).toArray();
    int room = Math.max(1, decoder.spec().maxPositions() - speed.newTokens());
    int length = Math.min(Math.min(speed.promptTokens(), running.length), room);
    if (length < speed.promptTokens()) {
      warnings.add(
          "The speed was measured with a prompt of %d tokens instead of %d: the text or the positions of the model end there."
              .formatted(length, speed.promptTokens()));
    }
    return new SpeedMeter(decoder, speed, listener)
        .measure(Arrays.copyOf(running, length), variants);
  }

  private List<Variant> variants(EvaluationRequest request) {
    List<CachePolicy> caches = new ArrayList<>();
    caches.add(null);
    if (request.caches() != null) {
      caches.addAll(request.caches().policies());
    }
    List<Variant> variants = new ArrayList<>();
    for (CachePolicy cache : caches) {
      variants.add(new Variant(null, CacheOptions.of(decoder.spec().plan()), cache));
    }
    for (EvaluatedPolicy evaluated : request.policies()) {
      CacheOptions options =
          new CacheOptions(SharingPlan.of(evaluated.policy()), evaluated.overrides());
      for (CachePolicy cache : caches) {
        variants.add(new Variant(evaluated.name(), options, cache));
      }
    }
    return variants;
  }

  private CacheSavings savings(Variant variant, int tokens, long compressedBytes) {
    long owned = tokens * decoder.spec().kvBytesPerToken(variant.options().map(), bytesPerElement);
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
    return spec.kvBytesPerToken(SharingMap.identity(spec.layers()), bytesPerElement);
  }

  private EvaluationRow row(
      Variant variant,
      List<WindowScore> scores,
      List<WindowScore> unshared,
      CacheSavings cache,
      Speed speed) {
    long bytes = decoder.spec().kvBytesPerToken(variant.options().map(), bytesPerElement);
    double sharing = (double) bytes / allBytesPerToken();
    double tokens = scores.stream().mapToLong(WindowScore::tokens).sum();
    return new EvaluationRow(
        variant.sharing(),
        Perplexities.perplexity(scores),
        scores == unshared ? new Estimate(1, 0) : Perplexities.ratio(scores, unshared),
        scores.stream().mapToDouble(WindowScore::divergence).sum() / tokens,
        scores.stream().mapToLong(WindowScore::agreements).sum() / tokens,
        cache == null ? sharing : sharing * cache.policyFraction(),
        bytes,
        cache,
        speed);
  }
}
