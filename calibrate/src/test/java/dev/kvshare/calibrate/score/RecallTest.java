package dev.kvshare.calibrate.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.Provenance.Recall;
import dev.kvshare.calibrate.TinyModel;
import dev.kvshare.calibrate.score.RecallPassages.Fact;
import dev.kvshare.calibrate.score.RecallPassages.Kind;
import dev.kvshare.calibrate.score.RecallPassages.Passage;
import dev.kvshare.datasets.Corpus;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Hidden numbers: the passages, by characters for tokens, and the meter, on a tiny model. */
class RecallTest {
  private static final int PROMPT = 40;
  private static final int ANSWER = 4;

  private static RecallPassages passages(int paragraphs) {
    List<String> texts =
        IntStream.range(0, paragraphs)
            .mapToObj(i -> "Paragraph %d goes on. ".formatted(i) + "It says a little. ".repeat(9))
            .toList();
    return new RecallPassages(
        new Corpus.Text("t", "", String.join("\n\n", texts), texts),
        text -> text.chars().toArray(),
        (int) '^');
  }

  private static String text(List<Integer> ids) {
    return ids.stream().map(Character::toString).collect(Collectors.joining());
  }

  @ParameterizedTest
  @EnumSource
  void passagesAskForANumberThatTheyHoldOnce(Kind kind) {
    List<Passage> found = passages(50).passages(kind, 3000, 5, 7);
    for (Passage passage : found) {
      String prompt = text(passage.prompt());
      assertEquals(3000, passage.prompt().size() + passage.answer().size());
      assertTrue(prompt.startsWith("^Special numbers are hidden"), prompt);
      Matcher facts =
          Pattern.compile("(?m)^The special number for (\\w+ \\w+) is (\\d{5})\\.$")
              .matcher(prompt);
      List<String> keys = new ArrayList<>();
      while (facts.find()) {
        keys.add(facts.group(1));
        if (facts.start() == passage.places().get(0)) {
          assertEquals(" " + facts.group(2), text(passage.answer()));
          assertTrue(prompt.endsWith("The special number for " + facts.group(1) + " is"), prompt);
          assertEquals(prompt.indexOf(facts.group(2)), prompt.lastIndexOf(facts.group(2)));
        }
      }
      assertEquals(kind == Kind.SINGLE_KEY ? 1 : 4, keys.stream().distinct().count());
      assertEquals(passage.places().size(), keys.size());
      assertTrue(prompt.contains("\nParagraph "), prompt);
    }
    for (int i = 0; i < 5; i++) {
      double depth = found.get(i).places().get(0) / 3000.0;
      assertTrue(depth > i / 5.0 - 0.1 && depth < (i + 1) / 5.0 + 0.1, i + ": " + depth);
    }
  }

  @Test
  void equalSeedsGiveEqualPassages() {
    Passage first = passages(50).passages(Kind.FOUR_KEYS, 2000, 3, 1).get(2);
    Passage again = passages(50).passages(Kind.FOUR_KEYS, 2000, 3, 1).get(2);
    Passage other = passages(50).passages(Kind.FOUR_KEYS, 2000, 3, 2).get(2);
    assertEquals(first, again);
    assertNotEquals(text(first.prompt()), text(other.prompt()));
  }

  @Test
  void factsStandAtTheirDepthsAndAShortTextIsRepeated() {
    List<Fact> facts =
        List.of(
            new Fact("B.\n", 0.9), new Fact("A.\n", 0), new Fact("C.\n", 1), new Fact("D.\n", 0.5));
    Passage passage = passages(2).passage(facts, "\nWhat?", " 1", 4000, 0.6);
    String prompt = text(passage.prompt());
    int begin = prompt.indexOf("A.\n");
    double length = prompt.length() - begin;
    assertEquals(
        List.of(prompt.indexOf("B."), begin, prompt.indexOf("C."), prompt.indexOf("D.")),
        passage.places());
    assertEquals(0.9, (passage.places().get(0) - begin) / length, 0.05);
    assertEquals(0.5, (passage.places().get(3) - begin) / length, 0.05);
    assertTrue(prompt.endsWith("C.\n\nWhat?"), prompt);
    assertTrue(prompt.split("Paragraph 0 goes on").length > 5, prompt);
  }

  @Test
  void aPassageWithoutRoomIsRefused() {
    RecallPassages passages = passages(5);
    assertTrue(
        assertThrows(
                IllegalArgumentException.class, () -> passages.passages(Kind.FOUR_KEYS, 300, 1, 0))
            .getMessage()
            .contains("no room for planted facts and 75 of text"));
    assertThrows(IllegalArgumentException.class, () -> passages(0));
  }

  /** The unshared model answers as it continues each prompt itself. */
  @Test
  @Tag("numerics")
  void aPlanThatSeesTheLastTokensOnlyLosesWhatTheModelFinds() {
    try (TinyModel model = TinyModel.open()) {
      List<Passage> own = continued(model.decoder(), 8);
      List<Integer> ran = new ArrayList<>();
      Plan unshared = Plan.identity(model.decoder().spec().layers());
      List<Integer> all = IntStream.range(0, unshared.map().layers()).boxed().toList();
      try (RecallMeter meter =
          new RecallMeter(
              model.decoder(),
              Map.of(Kind.SINGLE_KEY, own, Kind.FOUR_KEYS, own.subList(0, 5)),
              ran::add)) {
        Recall same = meter.judge(unshared, null);
        assertEquals(1, same.exact());
        assertEquals(1, same.unshared());
        assertEquals(PROMPT + ANSWER, same.context());
        assertEquals(0, same.meanDivergence());
        assertEquals(same.singleKey().unsharedLogLikelihood(), same.singleKey().logLikelihood());
        assertEquals(List.of(8, 8, 5, 5), ran);
        Recall blind = meter.judge(unshared.withWindows(Plan.Windows.of(all, 0, 1)), null);
        assertTrue(blind.exact() < 0.5, blind.toString());
        assertEquals(1, blind.unshared());
        assertTrue(blind.fourKeys().divergence() > 0.001, blind.toString());
        assertTrue(blind.singleKey().logLikelihood() < blind.singleKey().unsharedLogLikelihood());
        assertTrue(blind.words().contains("of 13 hidden numbers at 44 tokens; unshared 13 of 13"));
        assertEquals(List.of(8, 8, 5, 5, 8, 5), ran);
      }
    }
  }

  /** Behind a prompt that is computed exactly, the first token is the unshared model's. */
  @Test
  @Tag("numerics")
  void anExactPrefillIsAsked() {
    try (TinyModel model = TinyModel.open()) {
      List<Passage> firsts =
          continued(model.decoder(), 4).stream()
              .map(row -> new Passage(row.prompt(), row.answer().subList(0, 1), row.places()))
              .toList();
      int layers = model.decoder().spec().layers();
      List<Integer> all = IntStream.range(0, layers).boxed().toList();
      Plan plan = Plan.identity(layers).withWindows(Plan.Windows.of(all, 0, 1));
      try (RecallMeter meter =
          new RecallMeter(
              model.decoder(),
              Map.of(Kind.SINGLE_KEY, firsts, Kind.FOUR_KEYS, firsts),
              count -> {})) {
        assertTrue(meter.judge(plan, null).meanDivergence() > 0.001);
        Recall exact = meter.judge(plan.withPrefill(Plan.Prefill.EXACT), null);
        assertEquals(0, exact.meanDivergence(), 1e-6);
        assertEquals(1, exact.exact());
      }
    }
  }

  @Test
  @Tag("numerics")
  void promptsRunOnceForAllPlansWithAnExactPrefill() {
    try (TinyModel model = TinyModel.open()) {
      List<Passage> own = continued(model.decoder(), 8);
      List<Integer> ran = new ArrayList<>();
      int layers = model.decoder().spec().layers();
      Plan unshared = Plan.identity(layers).withPrefill(Plan.Prefill.EXACT);
      List<Plan> plans =
          IntStream.range(0, layers).mapToObj(layer -> unshared.withWindowed(layer, 1, 0)).toList();
      try (RecallMeter meter =
          new RecallMeter(
              model.decoder(),
              Map.of(Kind.SINGLE_KEY, own, Kind.FOUR_KEYS, own.subList(0, 5)),
              ran::add)) {
        List<Recall> each = meter.judge(plans, null);
        for (int layer = 0; layer < layers; layer++) {
          assertEquals(each.get(layer), meter.judge(plans.get(layer), null));
        }
        assertTrue(each.stream().distinct().count() > 1, each.toString());
        assertEquals(0, meter.judge(unshared, null).meanDivergence());
        assertEquals(List.of(8, 5), ran);
      }
    }
  }

  @Test
  @Tag("numerics")
  void aKindThatTheModelItselfDoesNotFindSaysNothing() {
    try (TinyModel model = TinyModel.open()) {
      List<Passage> own = continued(model.decoder(), 4);
      List<Passage> wrong =
          own.stream()
              .map(
                  passage ->
                      new Passage(
                          passage.prompt(),
                          passage.answer().stream().map(id -> id == 9 ? 8 : 9).toList(),
                          List.of()))
              .toList();
      Plan plan = Plan.identity(model.decoder().spec().layers());
      try (RecallMeter meter =
              new RecallMeter(
                  model.decoder(),
                  Map.of(Kind.SINGLE_KEY, own, Kind.FOUR_KEYS, wrong),
                  count -> {});
          RecallMeter never =
              new RecallMeter(
                  model.decoder(),
                  Map.of(Kind.SINGLE_KEY, wrong, Kind.FOUR_KEYS, wrong),
                  count -> {})) {
        Recall half = meter.judge(plan, null);
        assertFalse(half.fourKeys().tells());
        assertNull(half.fourKeys().divergence());
        assertEquals(1, half.exact());
        assertTrue(half.words().contains("four numbers: says nothing"), half.words());
        Recall nothing = never.judge(plan, null);
        assertNull(nothing.exact());
        assertEquals(0, nothing.unshared());
        assertEquals(0, nothing.meanDivergence());
        assertTrue(nothing.words().startsWith("nothing to compare"), nothing.words());
      }
    }
  }

  /** Random prompts with the model's own greedy continuations. */
  private static List<Passage> continued(Decoder decoder, int count) {
    Random random = new Random(3);
    List<Passage> found = new ArrayList<>();
    Plan unshared = Plan.identity(decoder.spec().layers());
    for (int i = 0; i < count; i++) {
      int[] prompt = random.ints(PROMPT, 0, decoder.spec().vocabularySize()).toArray();
      List<Integer> answer = new ArrayList<>();
      try (NDManager scratch = decoder.newManager();
          DecodingCache cache = decoder.newCache(CacheOptions.of(unshared), null, 1, 64)) {
        NDArray logits = decoder.prefill(PromptBatch.of(prompt), cache, PROMPT);
        logits.attach(scratch);
        for (int token = 0; token < ANSWER; token++) {
          long next = logits.argMax(1).getLong();
          answer.add((int) next);
          logits = decoder.decode(scratch.create(new long[] {next}), cache);
        }
      }
      found.add(new Passage(Arrays.stream(prompt).boxed().toList(), answer, List.of(0)));
    }
    return found;
  }
}
