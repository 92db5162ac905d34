package dev.kvshare.eval.recall;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.calibrate.score.RecallMeter;
import dev.kvshare.eval.quality.Journal;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.recall.RecallItem.Question;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Lets the model write answers. A context is a prompt, which is read once a variant; each question
 * follows a copy of the cache that this left, so that no answer depends on another question. What
 * follows the context, question and answer, runs under the plan with its refitted weights.
 *
 * <p>The unshared model reads each context once. Variants with an exact prefill take what they keep
 * from its keys and values; others, and cache policies that observe attention, read it themselves.
 */
final class AnswerMeter {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final LoadedModel model;
  private final Decoder decoder;
  private final Journal journal;
  private final QualityMeter.Listener listener;

  /**
   * What one variant wrote.
   *
   * @param texts by item and question
   * @param bytes of the cache of one context, as allocated
   */
  record Answers(List<List<String>> texts, long bytes) {}

  /** Items that run at once. */
  private final class Batch implements AutoCloseable {
    final List<RecallItem> items;
    private KvCache unshared;

    Batch(List<RecallItem> items) {
      this.items = items;
    }

    /** The contexts as the unshared model read them. */
    KvCache unshared() {
      if (unshared == null) {
        unshared =
            decoder.newCache(
                CacheOptions.of(decoder.spec().plan()), items.size(), tokens() + RecallItems.ROOM);
        decoder.prompt(prompts(), unshared, tokens()).close();
      }
      return unshared;
    }

    PromptBatch prompts() {
      return new PromptBatch(items.stream().map(RecallItem::context).toList());
    }

    int tokens() {
      return items.get(0).context().length;
    }

    long bytes() {
      return unshared == null ? 0 : unshared.bytes();
    }

    @Override
    public void close() {
      if (unshared != null) {
        unshared.close();
        unshared = null;
      }
    }
  }

  /**
   * @param journal keeps the answers to each batch of items
   */
  AnswerMeter(LoadedModel model, Journal journal, QualityMeter.Listener listener) {
    this.model = model;
    this.decoder = model.decoder();
    this.journal = journal;
    this.listener = listener;
  }

  /**
   * The answers of all variants. Where the unshared model answers too few questions, the others are
   * not asked.
   *
   * @param name of the items, in the journal and for the listener
   * @param items with equally long contexts
   * @param variants the first is the unshared model
   * @param keys names of the variants in the journal
   * @return by variant; of the first alone where it fails
   */
  List<Answers> measure(
      String name, List<RecallItem> items, List<Variant> variants, List<String> keys) {
    List<Batch> batches = batches(items);
    List<List<List<String>>> texts = new ArrayList<>();
    variants.forEach(variant -> texts.add(new ArrayList<>()));
    long[] bytes = new long[variants.size()];
    int steps = variants.size() * batches.size();
    try {
      for (int b = 0; b < batches.size(); b++) {
        listener.onProgress(name, b, steps);
        ask(name, batches.get(b), variants.get(0), keys.get(0), texts.get(0), bytes, 0);
        if (batches.stream().mapToLong(Batch::bytes).sum() > RecallMeter.KEPT_BYTES) {
          batches.get(b).close();
        }
      }
      if (!RecallReport.Score.of(items, texts.get(0)).tells()) {
        listener.onProgress(name, steps, steps);
        return List.of(new Answers(texts.get(0), bytes[0]));
      }
      for (int b = 0; b < batches.size(); b++) {
        for (int v = 1; v < variants.size(); v++) {
          listener.onProgress(name, batches.size() + b * (variants.size() - 1) + v - 1, steps);
          ask(name, batches.get(b), variants.get(v), keys.get(v), texts.get(v), bytes, v);
        }
        batches.get(b).close();
      }
    } finally {
      batches.forEach(Batch::close);
    }
    listener.onProgress(name, steps, steps);
    return IntStream.range(0, bytes.length)
        .mapToObj(v -> new Answers(texts.get(v), bytes[v]))
        .toList();
  }

  private void ask(
      String name,
      Batch batch,
      Variant variant,
      String key,
      List<List<String>> texts,
      long[] bytes,
      int place) {
    String entry = "%s, items from %d, %s".formatted(name, texts.size(), key);
    JsonNode kept = journal.get(entry, () -> answers(batch, variant));
    Answers answers = JSON.convertValue(kept, Answers.class);
    texts.addAll(answers.texts());
    bytes[place] = answers.bytes();
  }

  private List<Batch> batches(List<RecallItem> items) {
    int tokens = items.get(0).context().length + RecallItems.ROOM;
    int most = RecallMeter.atOnce(decoder.spec(), tokens);
    return IntStream.iterate(0, from -> from < items.size(), from -> from + most)
        .mapToObj(from -> new Batch(items.subList(from, Math.min(items.size(), from + most))))
        .toList();
  }

  private Answers answers(Batch batch, Variant variant) {
    if (variant.cachePolicy() == null
        && variant.options().equals(CacheOptions.of(decoder.spec().plan()))) {
      return answers(batch, batch.unshared());
    }
    try (DecodingCache cache =
        decoder.newCache(
            variant.options(),
            variant.cachePolicy(),
            batch.items.size(),
            batch.tokens() + RecallItems.ROOM)) {
      if (reduces(variant, batch.tokens())) {
        decoder.reduce(batch.unshared(), cache);
      } else {
        decoder.prompt(batch.prompts(), cache, batch.tokens()).close();
      }
      return answers(batch, cache);
    }
  }

  /** Whether the unshared model's keys and values of a context tell what this variant keeps. */
  private boolean reduces(Variant variant, int tokens) {
    return variant.options().plan().prefill() == Prefill.EXACT
        && (variant.cachePolicy() == null
            || !variant.cachePolicy().rule(0, 1, tokens).observation().isActive());
  }

  /** Questions of as many tokens run together, each behind a copy of its context. */
  private Answers answers(Batch batch, DecodingCache contexts) {
    record Place(int item, int question) {}
    Map<Integer, List<Place>> byLength =
        IntStream.range(0, batch.items.size())
            .boxed()
            .flatMap(
                item ->
                    IntStream.range(0, batch.items.get(item).questions().size())
                        .mapToObj(question -> new Place(item, question)))
            .collect(
                Collectors.groupingBy(
                    place ->
                        batch
                            .items
                            .get(place.item())
                            .questions()
                            .get(place.question())
                            .ids()
                            .length));
    List<List<String>> texts = new ArrayList<>();
    batch.items.forEach(
        item -> texts.add(new ArrayList<>(Collections.nCopies(item.questions().size(), ""))));
    for (List<Place> places : byLength.values()) {
      List<Question> questions =
          places.stream()
              .map(place -> batch.items.get(place.item()).questions().get(place.question()))
              .toList();
      try (DecodingCache cache = contexts.copy(places.stream().mapToInt(Place::item).toArray())) {
        List<String> written = write(questions, cache);
        for (int i = 0; i < places.size(); i++) {
          texts.get(places.get(i).item()).set(places.get(i).question(), written.get(i));
        }
      }
    }
    return new Answers(texts, contexts.bytes() / contexts.batch());
  }

  /** Greedy answers, each up to an end token, its last token, or the end of its line. */
  private List<String> write(List<Question> questions, DecodingCache cache) {
    int rows = questions.size();
    List<List<Integer>> written = new ArrayList<>();
    boolean[] done = new boolean[rows];
    try (NDManager scratch = decoder.newManager()) {
      long[] ids =
          questions.stream()
              .flatMapToInt(each -> Arrays.stream(each.ids()))
              .asLongStream()
              .toArray();
      questions.forEach(each -> written.add(new ArrayList<>()));
      NDArray asked = scratch.create(ids, new Shape(rows, ids.length / rows));
      NDArray logits = decoder.head(decoder.hidden(asked, cache).get(":, -1:")).squeeze(1);
      while (true) {
        long[] best = logits.argMax(1).toLongArray();
        for (int row = 0; row < rows; row++) {
          done[row] = done[row] || isDone((int) best[row], questions.get(row), written.get(row));
        }
        if (IntStream.range(0, rows).allMatch(row -> done[row])) {
          return written.stream().map(this::text).toList();
        }
        logits.close();
        logits = decoder.decode(scratch.create(best), cache);
      }
    }
  }

  /** Adds a token to an answer, unless it ends it. */
  private boolean isDone(int token, Question question, List<Integer> written) {
    if (model.endTokens().contains(token)) {
      return true;
    }
    written.add(token);
    return written.size() == question.newTokens()
        || (question.isOneLine() && text(written).stripLeading().contains("\n"));
  }

  private String text(List<Integer> ids) {
    return model.tokenizer().decode(ids.stream().mapToInt(id -> id).toArray(), true);
  }
}
