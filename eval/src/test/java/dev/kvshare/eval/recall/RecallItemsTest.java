package dev.kvshare.eval.recall;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.datasets.Corpus;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.recall.RecallItem.Question;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Items by words, blanks and marks for tokens, on a made-up text. */
class RecallItemsTest {
  private static final int TOKENS = 1500;
  private static final int COUNT = 5;
  private static final int BOS = 0;

  private final Map<String, Integer> ids = new HashMap<>(Map.of("^", BOS));
  private final List<String> words = new ArrayList<>(List.of("^"));

  private int[] encode(String text) {
    return Pattern.compile("\\w+|\\s|[^\\w\\s]")
        .matcher(text)
        .results()
        .mapToInt(
            match ->
                ids.computeIfAbsent(
                    match.group(),
                    word -> {
                      words.add(word);
                      return words.size() - 1;
                    }))
        .toArray();
  }

  private String decode(int[] tokens) {
    return Arrays.stream(tokens).mapToObj(words::get).collect(Collectors.joining());
  }

  /** Each paragraph has one sentence that is fit for a question. */
  private static Corpus.Text text(int paragraphs) {
    List<String> texts =
        IntStream.range(0, paragraphs)
            .mapToObj(
                i ->
                    "Paragraph %d of this long text is one of many, and it ends with word %d. "
                            .formatted(i, 7 * i)
                        + "It says a little. ".repeat(4))
            .toList();
    return new Corpus.Text("made-up", "", String.join("\n\n", texts), texts);
  }

  private RecallItems items(int paragraphs) {
    return new RecallItems(text(paragraphs), this::encode, BOS);
  }

  @ParameterizedTest
  @EnumSource
  void itemsHaveTheirTokensTheirDepthsAndTheirAnswers(RecallTask task) {
    List<RecallItem> found = items(200).items(task, TOKENS, COUNT, 3);
    assertEquals(COUNT, found.size());
    boolean placed = task != RecallTask.COMMON_WORDS && task != RecallTask.FREQUENT_WORDS;
    for (int i = 0; i < COUNT; i++) {
      RecallItem item = found.get(i);
      assertEquals(TOKENS - RecallItems.ROOM, item.context().length);
      assertEquals(BOS, item.context()[0]);
      assertEquals(2, item.questions().size());
      String context = decode(item.context());
      for (int q = 0; q < 2; q++) {
        Question question = item.questions().get(q);
        assertTrue(question.ids().length + question.newTokens() <= RecallItems.ROOM);
        assertEquals(question.wanted().size(), question.found(context), question.toString());
        assertTrue(question.exact(String.join(" or ", question.wanted())));
        assertFalse(question.exact("I do not know"));
        assertFalse(question.exact(decode(question.ids())), "the question tells the answer");
        if (placed) {
          int part = (i + q * (COUNT + 1) / 2) % COUNT;
          assertTrue(question.depth() > (double) part / COUNT - 0.1, i + ": " + question);
          assertTrue(question.depth() < (part + 1.0) / COUNT + 0.1, i + ": " + question);
        }
      }
      assertNotEquals(item.questions().get(0).wanted(), item.questions().get(1).wanted());
    }
  }

  @ParameterizedTest
  @EnumSource
  void equalSeedsGiveEqualItems(RecallTask task) {
    RecallItem first = items(200).items(task, TOKENS, 3, 1).get(2);
    RecallItem again = items(200).items(task, TOKENS, 3, 1).get(2);
    RecallItem other = items(200).items(task, TOKENS, 3, 2).get(2);
    assertArrayEquals(first.context(), again.context());
    assertEquals(first.questions().get(1).wanted(), again.questions().get(1).wanted());
    assertNotEquals(first.questions().get(1).wanted(), other.questions().get(1).wanted());
  }

  /** What is planted stands in lines of its own; nothing else in the text tells it. */
  @Test
  void factsAreAllThatIsPlanted() {
    Map<RecallTask, Integer> planted =
        Map.of(
            RecallTask.SINGLE_KEY, 2,
            RecallTask.FOUR_KEYS, 4,
            RecallTask.SEVERAL_VALUES, 6,
            RecallTask.VARIABLES, 6);
    String fact = "(?m)^(The special number for .*|The keeper of the .*|VAR \\w+ = .*)$";
    planted.forEach(
        (task, count) -> {
          RecallItem item = items(200).items(task, TOKENS, 1, 0).get(0);
          String context = decode(item.context());
          long lines = Pattern.compile(fact).matcher(context).results().count();
          assertEquals(count.intValue(), lines, context);
          String filler = context.replaceAll(fact, "");
          for (Question question : item.questions()) {
            assertEquals(0, question.found(filler), filler);
          }
        });
  }

  @Test
  void aChainOfVariablesLeadsToItsNumber() {
    RecallItem item = items(200).items(RecallTask.VARIABLES, TOKENS, 2, 0).get(1);
    String context = decode(item.context());
    for (Question question : item.questions()) {
      List<String> chain = question.wanted();
      String number = decode(question.ids()).replaceAll("\\D+", "");
      List<Integer> places =
          List.of(
              context.indexOf("VAR %s = %s\n".formatted(chain.get(0), number)),
              context.indexOf("VAR %s = VAR %s\n".formatted(chain.get(1), chain.get(0))),
              context.indexOf("VAR %s = VAR %s\n".formatted(chain.get(2), chain.get(1))));
      assertTrue(places.get(0) > 0, context);
      assertEquals(places.stream().sorted().toList(), places);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"COMMON_WORDS", "FREQUENT_WORDS"})
  void theWordsAskedForAreTheMostFrequent(RecallTask task) {
    for (RecallItem item : items(200).items(task, TOKENS, 3, 5)) {
      String context = decode(item.context());
      for (int list = 0; list < 2; list++) {
        String title = (task == RecallTask.COMMON_WORDS ? "List " : "Text ") + "AB".charAt(list);
        String line = context.substring(context.indexOf(title + ": ") + title.length() + 2);
        Map<String, Long> counts =
            Arrays.stream(line.substring(0, line.indexOf('\n')).split(" "))
                .collect(Collectors.groupingBy(word -> word, Collectors.counting()));
        List<String> sorted =
            counts.entrySet().stream()
                .sorted(Comparator.comparing(entry -> -entry.getValue()))
                .map(Map.Entry::getKey)
                .toList();
        List<String> wanted = item.questions().get(list).wanted();
        assertEquals(
            wanted.stream().sorted().toList(), sorted.subList(0, 3).stream().sorted().toList());
        assertTrue(counts.get(sorted.get(2)) > counts.get(sorted.get(3)), counts.toString());
        assertTrue(sorted.size() > 10);
      }
    }
  }

  @Test
  void aSentenceStandsOnceAndItsEndIsAskedFor() {
    for (RecallItem item : items(200).items(RecallTask.SENTENCE, TOKENS, 4, 0)) {
      String context = decode(item.context());
      for (Question question : item.questions()) {
        String asked = decode(question.ids());
        String begun = asked.substring(asked.indexOf(": ") + 2);
        String sentence = begun + " " + question.wanted().get(0);
        assertEquals(context.indexOf(sentence), context.lastIndexOf(begun), sentence);
        assertEquals(5, question.wanted().get(0).split(" ").length);
      }
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    assertRefused("The recall task single-key has no room in 200 tokens", 200, 200);
    assertRefused("stand once in 1372 tokens of the text made-up", 3, TOKENS);
    assertTrue(
        assertThrows(EvaluationException.class, () -> items(0))
            .getMessage()
            .startsWith("The text made-up has no paragraph"));
    assertTrue(
        assertThrows(IllegalArgumentException.class, () -> RecallTask.of("needle"))
            .getMessage()
            .contains("there are single-key, four-keys"));
  }

  private void assertRefused(String reason, int paragraphs, int tokens) {
    String message =
        assertThrows(
                EvaluationException.class,
                () -> {
                  for (RecallTask task : RecallTask.values()) {
                    items(paragraphs).items(task, tokens, 2, 0);
                  }
                })
            .getMessage();
    assertTrue(message.contains(reason), message);
  }

  @Test
  void answersAreComparedByWholeWordsInAnyOrder() {
    Question one = new Question(new int[1], List.of("48213"), 0, 9);
    assertTrue(one.exact(" 48213.\n"));
    assertFalse(one.exact(" 482135."));
    assertFalse(one.exact(" 148213"));
    assertTrue(one.isOneLine());
    Question two = new Question(new int[1], List.of("Alden Percy", "plum"), 0, 9);
    assertTrue(two.exact("1. Plum\n2. alden\npercy"));
    assertEquals(1, two.found("a plum, Percy Alden"));
    assertEquals(0, two.found("plums"));
  }
}
