package dev.kvshare.eval.recall;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.cache.IntegerKv;
import dev.kvshare.apply.cache.SnapKv;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Prefill;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.eval.Goldens;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.quality.Journal;
import dev.kvshare.eval.quality.QualityMeter;
import dev.kvshare.eval.quality.Variant;
import dev.kvshare.eval.recall.AnswerMeter.Answers;
import dev.kvshare.eval.recall.RecallItem.Question;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Answers of a tiny Llama against those written by hand, one question and context at a time. */
@Tag("numerics")
class AnswerMeterTest {
  private static final int CONTEXT = 60;
  private static final int NEW_TOKENS = 6;

  /** All layers see the last three tokens, and a question has more. */
  private static final Plan BLIND =
      Plan.identity(4).withWindows(Plan.Windows.of(List.of(0, 1, 2, 3), 0, 3));

  private static final Plan SHARED =
      Plan.of(SharingMap.of(0, 1, 1, 0)).withWindows(Plan.Windows.of(List.of(1), 2, 6));

  private static final List<Variant> VARIANTS =
      List.of(
          variant(Plan.identity(4)),
          variant(SHARED),
          variant(SHARED.withPrefill(Prefill.EXACT)),
          variant(BLIND.withPrefill(Prefill.EXACT)),
          new Variant(
              "int8",
              CacheOptions.of(Plan.identity(4).withPrefill(Prefill.EXACT)),
              new IntegerKv(KeyValueFormat.INT8_PER_TOKEN)),
          new Variant(
              "snapkv",
              CacheOptions.of(SHARED.withPrefill(Prefill.EXACT)),
              new SnapKv(TokenAmount.tokens(12), 4, 5)));

  private static final List<String> KEYS = List.of("a", "b", "c", "d", "e", "f");

  @TempDir static Path folder;
  private static LoadedModel model;
  private static List<RecallItem> items;

  private static Variant variant(Plan plan) {
    return new Variant(plan.toString(), CacheOptions.of(plan), null);
  }

  @BeforeAll
  static void load() throws IOException {
    for (String file : List.of("config.json", "model.safetensors")) {
      Files.copy(Goldens.file("architectures/llama/" + file), folder.resolve(file));
    }
    Path tokenizer = Path.of(System.getProperty("kvshare.root"), "eval/src/test/resources/tasks");
    for (String file : List.of("tokenizer.json", "tokenizer_config.json")) {
      Files.copy(tokenizer.resolve(file), folder.resolve(file));
    }
    model = LoadedModel.open(folder, DecoderOptions.DEFAULT);
    Random random = new Random(1);
    items = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      List<Question> questions = new ArrayList<>();
      int[] context = random.ints(CONTEXT, 40, 250).toArray();
      for (int q = 0; q < 2; q++) {
        int[] ids = random.ints(5 + (i + q) % 2, 40, 250).toArray();
        Question open = new Question(ids, List.of("?", "?"), 0, NEW_TOKENS);
        String answer = byHand(context, open, VARIANTS.get(0));
        questions.add(new Question(ids, List.of(answer, answer), 0, NEW_TOKENS));
      }
      items.add(new RecallItem(context, questions));
    }
  }

  @AfterAll
  static void close() {
    model.close();
  }

  /** The context and then the question, into a cache that nothing else is asked of. */
  private static String byHand(int[] context, Question question, Variant variant) {
    List<Integer> written = new ArrayList<>();
    try (NDManager scratch = model.decoder().newManager();
        DecodingCache cache =
            model.decoder().newCache(variant.options(), variant.cachePolicy(), 1, 99)) {
      model.decoder().prefill(PromptBatch.of(context), cache, CONTEXT).close();
      long[] ids = Arrays.stream(question.ids()).asLongStream().toArray();
      NDArray hidden = model.decoder().hidden(scratch.create(ids, new Shape(1, ids.length)), cache);
      NDArray logits = model.decoder().head(hidden).get(":, -1");
      while (true) {
        long next = logits.argMax(1).getLong();
        if (model.endTokens().contains((int) next)) {
          break;
        }
        written.add((int) next);
        if (written.size() == question.newTokens()) {
          break;
        }
        logits = model.decoder().decode(scratch.create(new long[] {next}), cache);
      }
    }
    return model.tokenizer().decode(written.stream().mapToInt(id -> id).toArray(), true);
  }

  private static List<Answers> measure(Journal journal, List<Variant> variants) {
    return new AnswerMeter(model, journal, QualityMeter.Listener.SILENT)
        .measure("items", items, variants, KEYS.subList(0, variants.size()));
  }

  /**
   * Both questions see what the plan keeps of the context and nothing else: a cache that was
   * computed anew with all of it would answer as the unshared model.
   */
  @Test
  void bothQuestionsFollowTheReducedContext() {
    List<Answers> found = measure(Journal.none(), VARIANTS);
    for (int v = 0; v < VARIANTS.size(); v++) {
      for (int i = 0; i < items.size(); i++) {
        for (int q = 0; q < 2; q++) {
          Question question = items.get(i).questions().get(q);
          assertEquals(
              byHand(items.get(i).context(), question, VARIANTS.get(v)),
              found.get(v).texts().get(i).get(q),
              VARIANTS.get(v).title() + ", item " + i + ", question " + q);
        }
      }
    }
    for (int i = 0; i < items.size(); i++) {
      assertNotEquals(found.get(0).texts().get(i).get(1), found.get(3).texts().get(i).get(1));
    }
    assertTrue(found.get(4).bytes() < found.get(0).bytes() / 2);
  }

  /** The unshared model's pass serves all variants that keep a part of it. */
  @Test
  void aContextIsReadOnce() {
    List<Variant> exact = List.of(VARIANTS.get(0), VARIANTS.get(2), VARIANTS.get(3));
    long before = model.decoder().layerTokens();
    measure(Journal.none(), exact);
    long behind = exact.size() * 6L * (6 + NEW_TOKENS - 1);
    long most = 4 * ((long) items.size() * CONTEXT + behind);
    long ran = model.decoder().layerTokens() - before;
    assertTrue(ran <= most, ran + " tokens times layers instead of at most " + most);
  }

  @Test
  void aJournalAnswersInTheirPlace() throws IOException {
    Path file = folder.resolve("journal");
    ObjectNode settings = Report.newRow().put("seed", 0);
    List<Answers> first = measure(Journal.open(file, settings), VARIANTS.subList(0, 2));
    String kept = Files.readString(file);
    long before = model.decoder().layerTokens();
    assertEquals(first, measure(Journal.open(file, settings), VARIANTS.subList(0, 2)));
    assertEquals(before, model.decoder().layerTokens());
    List<Answers> more = measure(Journal.open(file, settings), VARIANTS.subList(0, 3));
    assertEquals(first, more.subList(0, 2));
    assertTrue(Files.readString(file).startsWith(kept));
  }

  /** Who does not find it with the whole cache is no measure of a smaller one. */
  @Test
  void othersAreNotAskedWhatTheUnsharedModelDoesNotKnow() {
    List<RecallItem> hopeless =
        items.stream()
            .map(
                item ->
                    new RecallItem(
                        item.context(),
                        item.questions().stream()
                            .map(q -> new Question(q.ids(), List.of("zebra", "ox"), 0, NEW_TOKENS))
                            .toList()))
            .toList();
    assertEquals(
        1,
        new AnswerMeter(model, Journal.none(), QualityMeter.Listener.SILENT)
            .measure("hopeless", hopeless, VARIANTS, KEYS)
            .size());
  }
}
