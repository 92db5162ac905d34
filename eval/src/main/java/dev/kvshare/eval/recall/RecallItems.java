package dev.kvshare.eval.recall;

import dev.kvshare.calibrate.score.RecallPassages;
import dev.kvshare.calibrate.score.RecallPassages.Context;
import dev.kvshare.calibrate.score.RecallPassages.Fact;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.recall.RecallItem.Question;
import java.text.BreakIterator;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.Set;
import java.util.function.Function;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Makes the items of {@link RecallTask}s: facts between the paragraphs of a text, lists of words,
 * and sentences of the text itself. Equal arguments give equal items. What is asked for first
 * stands at as many different depths as there are items, and what is asked for second at depths
 * half a text away.
 */
public final class RecallItems {
  /** Tokens of a passage that are left for a question and its answer. */
  public static final int ROOM = 128;

  /** Of what is asked and how: answers to other items cannot be compared. */
  public static final int VERSION = 1;

  private static final String NAME_FACT = "The keeper of the %s is called %s.\n";
  private static final String NAME_QUESTION =
      "\nWho is the keeper of the %s, as the text says? The keeper of the %1$s is called";
  private static final String VALUES_QUESTION =
      "\nWhich special numbers does the text name for %s? The text names three. The special numbers for %1$s are:";
  private static final String VARIABLES_OPENING =
      "Assignments of variables are hidden in the following text. Remember them: they are asked for at the end.\n";
  private static final String VARIABLES_QUESTION =
      "\nWhich variables have the value %d, directly or by way of another variable? There are three of them: VAR";
  private static final String COMMON_OPENING =
      "Two lists of words follow. Some words occur more often than others. Remember those that occur most often.\n";
  private static final String COMMON_QUESTION =
      "\nWhich three words occur most often in list %s? The three most common words of list %1$s are:";
  private static final String FREQUENT_OPENING =
      "Two texts of coded words follow. Remember which coded words occur most often.\n";
  private static final String FREQUENT_QUESTION =
      "\nWhich three coded words occur most often in text %s? The three most frequent words of text %1$s are:";
  private static final String SENTENCE_OPENING =
      "Read the following text. At the end you are asked to repeat sentences of it.\n";
  private static final String SENTENCE_QUESTION =
      "\nRepeat a sentence of the text, word for word: %s";

  private static final int VALUES = 3;
  private static final int MOST_COMMON = 3;

  /** A common word is one of so many words of a list, another one of so many at most. */
  private static final int COMMON_PART = 10;

  private static final int OTHER_PART = 100;
  private static final int CODED_WORDS = 40;
  private static final int LEAST_WORDS = 40;
  private static final int LEAST_SENTENCE = 12;
  private static final int MOST_SENTENCE = 40;
  private static final int END_WORDS = 5;

  private static final List<String> NAMES =
      words(
          "Abbott Alden Ambrose Barlow Bexley Calder Carver Clement Corwin Darby Denholm Edric"
              + " Ellery Fenwick Finley Garrick Hadley Hollis Ingram Jarvis Kendal Lambert Linton"
              + " Marlow Merrick Norris Orville Percy Quentin Radley Selwyn Tarrant Ulric Vernon"
              + " Walden Winslow");
  private static final List<String> WORDS =
      words(
          "acorn almond anvil apple arrow ashes bacon badge baker banjo barn bath beach bean bear"
              + " bell belt bench berry bird blade boat bone book boot bottle bowl bread brick"
              + " broom brush butter button cabin cake camel camp card cart cave chain chair chalk"
              + " cheese cherry chest clay cliff clock cloth cloud coal coat coin comb copper cork"
              + " corn cotton cow crab crane crow crown cup deer desk dish dog door dove drum duck"
              + " eagle ear egg elbow engine farm fence ferry field finger fire fish flag flame"
              + " flour flute fork fox frog fruit gate ghost glass glove goat gold goose grain"
              + " grape grass gravel hair hand harp hat hawk hay heart hill honey hook horn horse"
              + " house ink iron island ivy jacket jar jewel judge juice key king kite knife knot"
              + " lake lamb lamp leaf leather lemon letter lily lion lock map maple marble mask"
              + " milk mill mole monk moon moth mouse nail nest night nose oak oar olive onion"
              + " oven owl ox pail paint palm paper peach pear pearl pen pepper piano pig pine pipe"
              + " plate plum pond pony potato prince pump queen rabbit rain raven ring river road"
              + " robe roof rope rose sail salt sand scarf school seed sheep shell ship shoe");

  private final RecallPassages text;
  private final String name;
  private final Function<String, int[]> encoder;

  /**
   * Items with the paragraphs of a text.
   *
   * @param encoder token ids without added tokens
   * @param bosOrNull the token that the model wants before a text, null for none
   * @throws EvaluationException if the text has no paragraph
   */
  public RecallItems(Corpus.Text text, Function<String, int[]> encoder, Integer bosOrNull) {
    this.name = text.name();
    this.encoder = encoder;
    try {
      this.text = new RecallPassages(text, encoder, bosOrNull);
    } catch (IllegalArgumentException e) {
      throw new EvaluationException(
          "The text %s has no paragraph to hide something in. Use another --text.".formatted(name));
    }
  }

  /**
   * The items of a task.
   *
   * @param tokens of a context with its question and answer; the context has {@link #ROOM} less
   * @throws EvaluationException if there is no room in so few tokens, or the text is too short
   */
  public List<RecallItem> items(RecallTask task, int tokens, int count, long seed) {
    Random random = new Random(31 * seed + List.of(RecallTask.values()).indexOf(task));
    try {
      return IntStream.range(0, count)
          .mapToObj(
              i ->
                  switch (task) {
                    case SINGLE_KEY -> singleKey(tokens, i, count, random);
                    case FOUR_KEYS -> keys(tokens, i, count, random, 4, 1);
                    case SEVERAL_VALUES -> keys(tokens, i, count, random, 2, VALUES);
                    case VARIABLES -> variables(tokens, i, count, random);
                    case COMMON_WORDS -> commonWords(tokens, random);
                    case FREQUENT_WORDS -> frequentWords(tokens, random);
                    case SENTENCE -> sentences(tokens, i, count, random);
                  })
          .toList();
    } catch (IllegalArgumentException e) {
      throw new EvaluationException(
          "The recall task %s has no room in %d tokens, %d of which are for a question and its answer: %s. Use a longer --recall-context."
              .formatted(task.title(), tokens, ROOM, e.getMessage()));
    }
  }

  private RecallItem singleKey(int tokens, int i, int count, Random random) {
    List<String> keys = RecallPassages.keys(random);
    int number = number(random, new HashSet<>());
    List<String> names = shuffled(NAMES, random);
    String keeper = names.get(0) + " " + names.get(1);
    Context context =
        context(
            RecallPassages.OPENING,
            List.of(
                new Fact(RecallPassages.fact(keys.get(0), number), depth(0, i, count, random)),
                new Fact(NAME_FACT.formatted(keys.get(1), keeper), depth(1, i, count, random))),
            tokens,
            i,
            count,
            random);
    return item(
        context,
        question(RecallPassages.question(keys.get(0)), List.of("" + number), depth(context, 0)),
        question(NAME_QUESTION.formatted(keys.get(1)), List.of(keeper), depth(context, 1)));
  }

  /** Keys with numbers, of which the first two are asked for. */
  private RecallItem keys(int tokens, int i, int count, Random random, int keys, int values) {
    List<String> words = RecallPassages.keys(random);
    Set<Integer> used = new HashSet<>();
    List<Fact> facts = new ArrayList<>();
    List<List<String>> wanted = new ArrayList<>();
    for (int key = 0; key < keys; key++) {
      wanted.add(new ArrayList<>());
      for (int value = 0; value < values; value++) {
        int number = number(random, used);
        boolean placed = value == 0 && key < 2;
        double depth = placed ? depth(key, i, count, random) : random.nextDouble();
        facts.add(new Fact(RecallPassages.fact(words.get(key), number), depth));
        wanted.get(key).add("" + number);
      }
    }
    Context context = context(RecallPassages.OPENING, facts, tokens, i, count, random);
    Question[] questions = new Question[2];
    for (int key = 0; key < 2; key++) {
      String asked =
          values == 1
              ? RecallPassages.question(words.get(key))
              : VALUES_QUESTION.formatted(words.get(key));
      questions[key] = question(asked, wanted.get(key), depth(context, key * values));
    }
    return item(context, questions);
  }

  /** Two chains: a number, the variable that it is assigned to, and two more, one by the other. */
  private RecallItem variables(int tokens, int i, int count, Random random) {
    Set<Integer> used = new HashSet<>();
    Set<String> known = new HashSet<>();
    List<Fact> facts = new ArrayList<>();
    List<Integer> numbers = new ArrayList<>();
    List<List<String>> chains = new ArrayList<>();
    for (int chain = 0; chain < 2; chain++) {
      List<String> names = new ArrayList<>();
      double depth = depth(chain, i, count, random);
      String value = "" + number(random, used);
      numbers.add(Integer.valueOf(value));
      for (int hop = 0; hop < VALUES; hop++) {
        String variable = coded(5, random, known).toUpperCase(Locale.ROOT);
        facts.add(new Fact("VAR %s = %s\n".formatted(variable, value), depth));
        names.add(variable);
        value = "VAR " + variable;
        depth += random.nextDouble() * (1 - depth);
      }
      chains.add(names);
    }
    Context context = context(VARIABLES_OPENING, facts, tokens, i, count, random);
    return item(
        context,
        question(VARIABLES_QUESTION.formatted(numbers.get(0)), chains.get(0), depth(context, 0)),
        question(
            VARIABLES_QUESTION.formatted(numbers.get(1)), chains.get(1), depth(context, VALUES)));
  }

  private RecallItem commonWords(int tokens, Random random) {
    List<String> all = shuffled(WORDS, random);
    int half = all.size() / 2;
    long seed = random.nextLong();
    return lists(
        COMMON_OPENING,
        COMMON_QUESTION,
        "List",
        list ->
            words -> {
              List<Integer> counts =
                  new ArrayList<>(Collections.nCopies(MOST_COMMON, words / COMMON_PART));
              int each = (words + OTHER_PART - 1) / OTHER_PART;
              int left = words - MOST_COMMON * (words / COMMON_PART);
              while (left > 0) {
                counts.add(Math.min(each, left));
                left -= each;
              }
              return repeated(all.subList(list * half, list * half + half), counts, seed + list);
            },
        list -> all.subList(list * half, list * half + MOST_COMMON),
        tokens,
        random);
  }

  /** How often the k-th coded word occurs falls with the square of k (Zipf's law). */
  private RecallItem frequentWords(int tokens, Random random) {
    Set<String> known = new HashSet<>();
    List<String> all =
        IntStream.range(0, 2 * CODED_WORDS).mapToObj(k -> coded(6, random, known)).toList();
    long seed = random.nextLong();
    double total = IntStream.rangeClosed(1, CODED_WORDS).mapToDouble(k -> 1.0 / k / k).sum();
    return lists(
        FREQUENT_OPENING,
        FREQUENT_QUESTION,
        "Text",
        list ->
            words ->
                repeated(
                    all.subList(list * CODED_WORDS, (list + 1) * CODED_WORDS),
                    IntStream.rangeClosed(1, CODED_WORDS)
                        .mapToObj(k -> (int) Math.round(words / total / k / k))
                        .toList(),
                    seed + list),
        list -> all.subList(list * CODED_WORDS, list * CODED_WORDS + MOST_COMMON),
        tokens,
        random);
  }

  /** Two lists of as many words as have room. */
  private RecallItem lists(
      String opening,
      String question,
      String title,
      IntFunction<IntFunction<String>> list,
      IntFunction<List<String>> wanted,
      int tokens,
      Random random) {
    List<Fact> blocks = new ArrayList<>();
    int room = (tokens - ROOM - encoder.apply(opening).length - 1) / 2;
    for (int block = 0; block < 2; block++) {
      String head = title + " " + "AB".charAt(block) + ": ";
      IntFunction<String> words = list.apply(block);
      int least = LEAST_WORDS;
      int most = Math.max(least, room);
      while (least < most) {
        int middle = (least + most + 1) / 2;
        if (encoder.apply(head + words.apply(middle) + "\n").length <= room) {
          least = middle;
        } else {
          most = middle - 1;
        }
      }
      blocks.add(new Fact(head + words.apply(least) + "\n", block));
    }
    Context context = text.context(opening, blocks, tokens - ROOM, 0, random.nextDouble());
    return item(
        context,
        question(question.formatted("A"), wanted.apply(0), depth(context, 0)),
        question(question.formatted("B"), wanted.apply(1), depth(context, 1)));
  }

  private static String repeated(List<String> words, List<Integer> counts, long seed) {
    List<String> all = new ArrayList<>();
    for (int word = 0; word < counts.size(); word++) {
      all.addAll(Collections.nCopies(counts.get(word), words.get(word)));
    }
    return String.join(" ", shuffled(all, new Random(seed)));
  }

  private RecallItem sentences(int tokens, int i, int count, Random random) {
    Context context = context(SENTENCE_OPENING, List.of(), tokens, i, count, random);
    List<Question> all = new ArrayList<>();
    String whole = String.join("\n", context.lines());
    BreakIterator sentences = BreakIterator.getSentenceInstance(Locale.ROOT);
    for (int line = 0; line < context.lines().size(); line++) {
      String words = context.lines().get(line);
      sentences.setText(words);
      int from = 0;
      for (int to = sentences.next(); to != BreakIterator.DONE; to = sentences.next()) {
        double depth = context.lineEnds().get(line) / (double) context.ids().length;
        Question asked = sentence(words.substring(from, to).strip(), whole, depth);
        if (asked != null) {
          all.add(asked);
        }
        from = to;
      }
    }
    double[] depths = {depth(0, i, count, random), depth(1, i, count, random)};
    Question[] chosen = new Question[2];
    for (int question = 0; question < 2; question++) {
      double depth = depths[question];
      Question other = chosen[0];
      chosen[question] =
          all.stream()
              .filter(asked -> !asked.equals(other))
              .min(Comparator.comparing(asked -> Math.abs(asked.depth() - depth)))
              .orElseThrow(
                  () ->
                      new EvaluationException(
                          "The recall task %s needs two sentences of %d to %d words that stand once in %d tokens of the text %s, and this text is too short or has none. Use a longer --text, or leave the task out."
                              .formatted(
                                  RecallTask.SENTENCE.title(),
                                  LEAST_SENTENCE,
                                  MOST_SENTENCE,
                                  tokens - ROOM,
                                  name)));
    }
    return item(context, chosen);
  }

  /** Null where a sentence is not fit for a question. */
  private Question sentence(String sentence, String whole, double depth) {
    List<String> words = words(sentence.replaceAll("\\s+", " "));
    if (words.size() < LEAST_SENTENCE || words.size() > MOST_SENTENCE) {
      return null;
    }
    String begun = String.join(" ", words.subList(0, words.size() - END_WORDS));
    String end =
        String.join(" ", words.subList(words.size() - END_WORDS, words.size()))
            .replaceAll("^[^\\p{L}\\p{N}]+|[^\\p{L}\\p{N}]+$", "");
    int at = whole.indexOf(begun);
    if (at < 0 || at != whole.lastIndexOf(begun) || end.isEmpty()) {
      return null;
    }
    Question asked = question(SENTENCE_QUESTION.formatted(begun), List.of(end), depth);
    return asked.ids().length + asked.newTokens() <= ROOM ? asked : null;
  }

  private Context context(
      String opening, List<Fact> facts, int tokens, int i, int count, Random random) {
    double start = (i + random.nextDouble()) / count;
    return text.context(opening, facts, tokens - ROOM, tokens / 4, start);
  }

  private Question question(String words, List<String> wanted, double depth) {
    int answer = encoder.apply(" " + String.join(", ", wanted)).length;
    return new Question(
        encoder.apply(words), wanted, depth, wanted.size() == 1 ? answer + 4 : 3 * answer + 8);
  }

  private static RecallItem item(Context context, Question... questions) {
    for (Question each : questions) {
      if (each.ids().length + each.newTokens() > ROOM) {
        throw new IllegalArgumentException(
            "a question of %d tokens and an answer of %d"
                .formatted(each.ids().length, each.newTokens()));
      }
    }
    return new RecallItem(context.ids(), List.of(questions));
  }

  private static double depth(Context context, int fact) {
    return (double) context.places().get(fact) / context.ids().length;
  }

  /** Where what is asked for first or second is to stand. */
  private static double depth(int question, int i, int count, Random random) {
    int part = (i + question * (count + 1) / 2) % count;
    return (part + random.nextDouble()) / count;
  }

  /** A number that neither the text has nor another fact. */
  private int number(Random random, Set<Integer> used) {
    int number = RecallPassages.number(random);
    while (text.holds("" + number) || !used.add(number)) {
      number = RecallPassages.number(random);
    }
    return number;
  }

  /** A new word of consonants and vowels that the text does not have. */
  private String coded(int letters, Random random, Set<String> known) {
    String word;
    do {
      word =
          IntStream.range(0, letters)
              .mapToObj(
                  i -> {
                    String from = i % 2 == 0 ? "bdfghjklmnprstvz" : "aeiou";
                    return "" + from.charAt(random.nextInt(from.length()));
                  })
              .collect(Collectors.joining());
    } while (text.holds(word) || text.holds(word.toUpperCase(Locale.ROOT)) || !known.add(word));
    return word;
  }

  private static <T> List<T> shuffled(List<T> values, Random random) {
    List<T> shuffled = new ArrayList<>(values);
    Collections.shuffle(shuffled, random);
    return shuffled;
  }

  private static List<String> words(String words) {
    return List.of(words.split(" "));
  }
}
