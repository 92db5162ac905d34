package dev.kvshare.eval.recall;

import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.quality.Journal;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.recall.AnswerMeter.Answers;
import dev.kvshare.eval.recall.RecallReport.Row;
import dev.kvshare.eval.recall.RecallReport.Score;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** Asks the tasks of some settings, one length after another. */
public final class RecallRun {
  private final RecallSettings settings;
  private final RecallItems items;
  private final AnswerMeter meter;

  /**
   * A way to run the model.
   *
   * @param key what decides its answers, in words that a later run has too
   * @param baseline whether it is one of the simple baselines
   */
  public record Named(Variant variant, String key, boolean baseline) {}

  /** Gives the part of the unshared model's cache that a variant keeps of a context. */
  @FunctionalInterface
  public interface Kept {
    /**
     * The part that a variant keeps.
     *
     * @param tokens at which it is compared; under a cache policy those before the question
     * @param bytes of its cache as allocated behind them
     */
    double fraction(Variant variant, int tokens, long bytes);
  }

  /**
   * A run over a text.
   *
   * @param journal keeps the answers
   * @throws EvaluationException if the text is not one of words, or the model has fewer positions
   */
  public RecallRun(
      LoadedModel model,
      Corpus text,
      RecallSettings settings,
      Journal journal,
      QualityMeter.Listener listener) {
    if (!(text instanceof Corpus.Text words)) {
      throw new EvaluationException(
          "Recall hides words between the paragraphs of a text, and %s has token ids. Use a text."
              .formatted(text.name()));
    }
    int positions = model.decoder().spec().maxPositions();
    for (int context : settings.contexts()) {
      if (context > positions) {
        throw new EvaluationException(
            "A context of %d tokens is longer than the %d positions that the model was made for. Use --recall-context %d or less."
                .formatted(context, positions, positions));
      }
    }
    this.settings = settings;
    this.items = new RecallItems(words, model::encode, model.bosOrNull());
    this.meter = new AnswerMeter(model, journal, listener);
  }

  /**
   * Asks all tasks at one length.
   *
   * @param variants the first is the unshared model
   * @throws EvaluationException if a passage of so few tokens has no room for a task, or the text
   *     is too short
   */
  public List<Row> measure(int context, List<Named> variants, Kept kept) {
    List<Map<RecallTask, Score>> scores = new ArrayList<>();
    variants.forEach(variant -> scores.add(new EnumMap<>(RecallTask.class)));
    long[] bytes = new long[variants.size()];
    for (RecallTask task : settings.tasks()) {
      List<RecallItem> asked = items.items(task, context, settings.passages(), settings.seed());
      String name =
          "%s at %d tokens, %d passages".formatted(task.title(), context, settings.passages());
      List<Answers> found =
          meter.measure(
              name,
              asked,
              variants.stream().map(Named::variant).toList(),
              variants.stream().map(Named::key).toList());
      for (int v = 0; v < found.size(); v++) {
        scores.get(v).put(task, Score.of(asked, found.get(v).texts()));
        bytes[v] = found.get(v).bytes();
      }
    }
    List<Row> rows = new ArrayList<>();
    for (int v = 0; v < variants.size(); v++) {
      Variant variant = variants.get(v).variant();
      boolean measured = variant.cachePolicy() != null && !variants.get(v).baseline();
      double fraction =
          measured && bytes[v] == 0
              ? Double.NaN
              : kept.fraction(variant, measured ? context - RecallItems.ROOM : context, bytes[v]);
      rows.add(
          new Row(
              context,
              variant.policy(),
              variants.get(v).baseline() ? null : variant.cache(),
              variants.get(v).baseline(),
              fraction,
              scores.get(v)));
    }
    return rows;
  }
}
