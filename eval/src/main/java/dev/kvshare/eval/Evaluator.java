package dev.kvshare.eval;

import dev.kvshare.datasets.TokenWindows;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.policy.SharingMap;
import dev.kvshare.policy.SharingPlan;
import dev.kvshare.runtime.Decoder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/**
 * Compares sharing policies of one model side by side: perplexity, divergence from the unshared
 * model, size of the KV cache and speed. The weights are loaded once; a policy only changes which
 * layers have a cache.
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
   * Measures the unshared model and each policy of {@code request}.
   *
   * @throws dev.kvshare.datasets.DatasetException if the text is too short
   * @throws EvaluationException if text and model do not fit each other, or a likelihood is not a
   *     number
   */
  public EvaluationReport evaluate(EvaluationRequest request, EvaluationListener listener) {
    TokenWindows windows = request.windows().cut(request.text(), request.encoder());
    checkFits(windows);
    List<SharingPlan> plans =
        Stream.concat(
                Stream.of(decoder.spec().plan()),
                request.policies().stream().map(evaluated -> SharingPlan.of(evaluated.policy())))
            .toList();
    List<List<WindowScore>> scores =
        new QualityMeter(decoder, QualityMeter.Limits.DEFAULT, listener)
            .measure(windows.windows(), plans);
    List<String> names = new ArrayList<>();
    names.add(null);
    request.policies().forEach(evaluated -> names.add(evaluated.name()));
    checkFinite(names, scores);
    List<String> warnings = new ArrayList<>(windows.notes());
    List<Speed> speeds = speeds(request, windows, plans, warnings, listener);
    List<EvaluationRow> rows = new ArrayList<>();
    for (int m = 0; m < plans.size(); m++) {
      Speed speed = speeds.isEmpty() ? null : speeds.get(m);
      rows.add(row(names.get(m), plans.get(m).map(), scores.get(m), scores.get(0), speed));
    }
    CalibrationOverlap overlap = new CalibrationOverlap(request.datasets(), request.text());
    request.policies().forEach(evaluated -> overlap.warning(evaluated).ifPresent(warnings::add));
    return new EvaluationReport(windows, rows, warnings);
  }

  private void checkFits(TokenWindows windows) {
    ModelSpec spec = decoder.spec();
    if (windows.highestId() >= spec.vocabularySize()) {
      throw new EvaluationException(
          "The text %s has the token id %d, but the vocabulary of the model ends at %d. Use token ids of this model's tokenizer."
              .formatted(windows.name(), windows.highestId(), spec.vocabularySize() - 1));
    }
    int length = windows.windows().get(0).length;
    if (length > spec.maxPositions()) {
      throw new EvaluationException(
          "A window of %d tokens is longer than the %d positions that the model was made for. Use --window %d."
              .formatted(length, spec.maxPositions(), spec.maxPositions()));
    }
  }

  private static void checkFinite(List<String> names, List<List<WindowScore>> scores) {
    for (int m = 0; m < scores.size(); m++) {
      for (int w = 0; w < scores.get(m).size(); w++) {
        if (!Double.isFinite(scores.get(m).get(w).loss())) {
          throw new EvaluationException(
              "The likelihood of window %d under %s is not a number. Check the weights with `kvshare inspect`, or use --dtype float32."
                  .formatted(w + 1, names.get(m) == null ? "the unshared model" : names.get(m)));
        }
      }
    }
  }

  private List<Speed> speeds(
      EvaluationRequest request,
      TokenWindows windows,
      List<SharingPlan> plans,
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
    return new SpeedMeter(decoder, speed, listener).measure(Arrays.copyOf(running, length), plans);
  }

  private EvaluationRow row(
      String name,
      SharingMap map,
      List<WindowScore> scores,
      List<WindowScore> unshared,
      Speed speed) {
    ModelSpec spec = decoder.spec();
    long bytes = spec.kvBytesPerToken(map, bytesPerElement);
    long allBytes = spec.kvBytesPerToken(SharingMap.identity(map.layers()), bytesPerElement);
    double tokens = scores.stream().mapToLong(WindowScore::tokens).sum();
    return new EvaluationRow(
        name,
        Perplexities.perplexity(scores),
        name == null ? new Estimate(1, 0) : Perplexities.ratio(scores, unshared),
        scores.stream().mapToDouble(WindowScore::divergence).sum() / tokens,
        scores.stream().mapToLong(WindowScore::agreements).sum() / tokens,
        (double) bytes / allBytes,
        bytes,
        speed);
  }
}
