package dev.kvshare.calibrate.score;

import dev.kvshare.datasets.Corpus;
import java.text.BreakIterator;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * Generated passages in which a model must find a number again, after RULER (arXiv 2404.06654,
 * section 3.1, single and multi-keys needle in a haystack). Facts such as "The special number for
 * copper lantern is 48213." stand on lines of their own between the paragraphs of a text, and one
 * is asked for at the end. Deviations: the paragraphs are those of any text, keys have two words,
 * numbers five digits, and depths are spread evenly.
 *
 * <p>A text with fewer tokens than a passage is repeated. Equal arguments give equal passages.
 */
public final class RecallPassages {
  /** So many of each kind choose between plans. */
  public static final int CHOOSING = 4;

  /** Tokens in which four hidden numbers stand apart. */
  private static final int SHORTEST_CHOOSING = 512;

  /** Most depths lie behind a window that is so many times shorter. */
  private static final int WINDOWS_IN_PASSAGE = 4;

  /**
   * So many others of each kind say what a policy finds. That is few: where half of the numbers of
   * a kind are found, the standard error of that share is a quarter.
   */
  public static final int REPORTING = 4;

  /** What passages with hidden numbers begin with. */
  public static final String OPENING =
      "Special numbers are hidden in the following text. Remember them: they are asked for at the end.\n";

  private static final String FACT = "The special number for %s is %d.\n";
  private static final String QUESTION =
      "\nWhich special number does the text name for %s? The special number for %1$s is";
  private static final List<String> ADJECTIVES =
      words(
          "amber brave copper crimson dusty early frozen gentle golden hollow humble ivory lively"
              + " lonely mellow narrow noble patient polished quiet rapid rusty scarlet silent"
              + " silver slender sturdy velvet violet wandering wooden yellow");
  private static final List<String> NOUNS =
      words(
          "anchor apron barrel basket beacon blanket bridge bucket candle canyon carpet castle"
              + " chimney compass cottage cradle curtain feather fiddle garden hammer harbor helmet"
              + " kettle ladder lantern meadow mirror needle orchard paddle pebble pillow pocket"
              + " ribbon saddle shovel spindle stable teapot thimble tunnel village wagon whistle"
              + " window willow workshop");

  /** So many characters of a text are used. */
  private static final int MOST_CHARACTERS = 4_000_000;

  /** A paragraph of more is broken at the end of a sentence, so that facts stand where asked. */
  private static final int LINE_CHARACTERS = 240;

  /** What is planted in a passage. */
  public enum Kind {
    /** One number. */
    SINGLE_KEY(1),
    /** Four numbers for different words, one of which is asked for. */
    FOUR_KEYS(4);

    private final int facts;

    Kind(int facts) {
      this.facts = facts;
    }
  }

  /**
   * A line that is planted.
   *
   * @param line with its line feed
   * @param depth from 0, the beginning of the text, to 1
   */
  public record Fact(String line, double depth) {}

  /**
   * A prompt and how it is to be continued, together of the number of tokens that was asked for.
   *
   * @param prompt token ids
   * @param answer token ids, at least one
   * @param places the token of the prompt at which each fact begins, the one asked for first
   */
  public record Passage(List<Integer> prompt, List<Integer> answer, List<Integer> places) {
    public Passage {
      prompt = List.copyOf(prompt);
      answer = List.copyOf(answer);
      places = List.copyOf(places);
    }
  }

  /**
   * Text with planted lines, as token ids.
   *
   * @param places the token at which each fact begins, in the order of the facts
   * @param lines the lines of the text that stand in it whole, in their order
   * @param lineEnds the token behind each of these lines
   */
  @SuppressWarnings("ArrayRecordComponent") // Never compared; as the decoder takes them.
  public record Context(
      int[] ids, List<Integer> places, List<String> lines, List<Integer> lineEnds) {}

  private final List<String> lines;
  private final Function<String, int[]> encoder;
  private final Integer bosOrNull;

  /**
   * Passages with the paragraphs of a text.
   *
   * @param encoder token ids without added tokens
   * @param bosOrNull the token that the model wants before a text, null for none
   * @throws IllegalArgumentException if the text has no paragraph
   */
  public RecallPassages(Corpus.Text text, Function<String, int[]> encoder, Integer bosOrNull) {
    this.lines = lines(text);
    this.encoder = encoder;
    this.bosOrNull = bosOrNull;
    if (lines.isEmpty()) {
      throw new IllegalArgumentException(text.name() + " has no paragraph");
    }
  }

  /**
   * Tokens of the passages that choose: half of those that a policy is reported on, where most of a
   * passage lies behind the window then.
   *
   * @param tokens of the passages that a policy is reported on
   * @param window the last tokens that windowed layers keep
   */
  public static int choosingTokens(int tokens, int window) {
    int shortest = Math.max(SHORTEST_CHOOSING, WINDOWS_IN_PASSAGE * window);
    return Math.min(tokens, Math.max(tokens / 2, shortest));
  }

  /**
   * Passages of every kind.
   *
   * @param tokens of a passage with its answer
   * @param count passages of each kind
   * @throws IllegalArgumentException if a passage of so few tokens has no room for the facts
   */
  public Map<Kind, List<Passage>> passages(int tokens, int count, long seed) {
    Map<Kind, List<Passage>> all = new EnumMap<>(Kind.class);
    for (Kind kind : Kind.values()) {
      all.put(kind, passages(kind, tokens, count, seed));
    }
    return all;
  }

  /**
   * Passages of one kind. The answers of all have equally many tokens.
   *
   * @param tokens of a passage with its answer
   * @param count passages; the numbers that are asked for stand at as many different depths
   * @throws IllegalArgumentException if a passage of so few tokens has no room for the facts
   */
  public List<Passage> passages(Kind kind, int tokens, int count, long seed) {
    Random random = new Random(31 * seed + kind.facts);
    List<Passage> passages = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      List<String> keys = keys(random);
      List<Fact> facts = new ArrayList<>();
      String question = question(keys.get(0));
      int number = number(random);
      if (i > 0) {
        int wanted = passages.get(0).answer().size();
        while (answerTokens(question, number) != wanted) {
          number = number(random);
        }
      }
      for (int fact = 0; fact < kind.facts; fact++) {
        double depth = fact == 0 ? (i + random.nextDouble()) / count : random.nextDouble();
        facts.add(new Fact(fact(keys.get(fact), fact == 0 ? number : number(random)), depth));
      }
      double start = (i + random.nextDouble()) / count;
      passages.add(passage(facts, question, " " + number, tokens, start));
    }
    return passages;
  }

  /**
   * One passage.
   *
   * @param facts what is planted, each between the paragraphs nearest to its depth
   * @param question what the prompt ends with
   * @param answer how it goes on
   * @param tokens of the passage with the answer
   * @param start which part of the text to begin with, from 0 to less than 1
   * @throws IllegalArgumentException if less than a quarter of it were text
   */
  public Passage passage(
      List<Fact> facts, String question, String answer, int tokens, double start) {
    int[] end = encoder.apply(question + answer);
    int asked = asked(question, end);
    Context context = context(OPENING, facts, tokens - end.length, tokens / 4, start);
    return new Passage(
        IntStream.concat(Arrays.stream(context.ids()), Arrays.stream(end, 0, asked))
            .boxed()
            .toList(),
        Arrays.stream(end, asked, end.length).boxed().toList(),
        context.places());
  }

  /**
   * What stands before a question.
   *
   * @param opening its first line, with its line feed; the BOS token stands before it
   * @param facts what is planted, each between the paragraphs nearest to its depth
   * @param tokens of all of it
   * @param leastText tokens of text that there must be besides
   * @param start which part of the text to begin with, from 0 to less than 1
   * @throws IllegalArgumentException if less of it were text
   */
  public Context context(
      String opening, List<Fact> facts, int tokens, int leastText, double start) {
    int[] first = encoder.apply(opening);
    List<int[]> parts = new ArrayList<>();
    if (bosOrNull != null) {
      parts.add(new int[] {bosOrNull});
    }
    parts.add(first);
    int length = first.length + parts.size() - 1;
    List<int[]> planted = facts.stream().map(fact -> encoder.apply(fact.line())).toList();
    int room = tokens - length - planted.stream().mapToInt(ids -> ids.length).sum();
    if (room < leastText) {
      throw new IllegalArgumentException(
          "%d tokens have no room for planted facts and %d of text".formatted(tokens, leastText));
    }
    List<Integer> breaks = new ArrayList<>(List.of(0));
    List<String> whole = new ArrayList<>();
    int[] filler = filler(room, (int) (start * lines.size()), breaks, whole);
    List<Integer> after =
        facts.stream().map(fact -> nearest(breaks, fact.depth() * filler.length)).toList();
    List<Integer> order =
        IntStream.range(0, facts.size()).boxed().sorted(Comparator.comparing(after::get)).toList();
    Integer[] places = new Integer[facts.size()];
    int opened = length;
    int from = 0;
    for (int fact : order) {
      int to = after.get(fact);
      parts.add(Arrays.copyOfRange(filler, from, to));
      parts.add(planted.get(fact));
      places[fact] = length + to - from;
      length = places[fact] + planted.get(fact).length;
      from = to;
    }
    parts.add(Arrays.copyOfRange(filler, from, filler.length));
    List<Integer> ends =
        breaks.subList(breaks.size() - whole.size(), breaks.size()).stream()
            .map(
                end ->
                    opened
                        + end
                        + IntStream.range(0, facts.size())
                            .filter(fact -> after.get(fact) < end)
                            .map(fact -> planted.get(fact).length)
                            .sum())
            .toList();
    int[] ids = parts.stream().flatMapToInt(Arrays::stream).toArray();
    return new Context(ids, Arrays.asList(places), whole, ends);
  }

  /** Whether the text has these words somewhere. */
  public boolean holds(String words) {
    return lines.stream().anyMatch(line -> line.contains(words));
  }

  /** Different words for facts, in an order drawn by chance. */
  public static List<String> keys(Random random) {
    List<String> adjectives = shuffled(ADJECTIVES, random);
    List<String> nouns = shuffled(NOUNS, random);
    return IntStream.range(0, adjectives.size())
        .mapToObj(i -> adjectives.get(i) + " " + nouns.get(i))
        .toList();
  }

  /** The line that gives a key its number. */
  public static String fact(String key, int number) {
    return FACT.formatted(key, number);
  }

  /** Asks for the number of a key; the number follows behind a blank. */
  public static String question(String key) {
    return QUESTION.formatted(key);
  }

  /** Five digits. */
  public static int number(Random random) {
    return 10_000 + random.nextInt(90_000);
  }

  /**
   * Token ids of lines from one on, the last {@code room} of them; adds where lines end, and those
   * of which nothing is cut off.
   */
  private int[] filler(int room, int start, List<Integer> breaks, List<String> whole) {
    List<int[]> found = new ArrayList<>();
    int total = 0;
    for (int line = start; total < room; line = (line + 1) % lines.size()) {
      found.add(encoder.apply(lines.get(line) + "\n"));
      total += found.get(found.size() - 1).length;
    }
    int end = room - total;
    for (int i = 0; i < found.size(); i++) {
      if (end >= 0) {
        whole.add(lines.get((start + i) % lines.size()));
      }
      end += found.get(i).length;
      if (end > 0) {
        breaks.add(end);
      }
    }
    int[] all = found.stream().flatMapToInt(Arrays::stream).toArray();
    return Arrays.copyOfRange(all, total - room, total);
  }

  private static int nearest(List<Integer> places, double wanted) {
    return places.stream().min(Comparator.comparing(place -> Math.abs(place - wanted))).get();
  }

  private int answerTokens(String question, int number) {
    int[] end = encoder.apply(question + " " + number);
    return end.length - asked(question, end);
  }

  /** How many of the tokens of a question with its answer are the question's. */
  private int asked(String question, int[] end) {
    int different = Arrays.mismatch(encoder.apply(question), end);
    return different < 0 ? end.length : different;
  }

  private static List<String> shuffled(List<String> words, Random random) {
    List<String> shuffled = new ArrayList<>(words);
    Collections.shuffle(shuffled, random);
    return shuffled;
  }

  private static List<String> words(String words) {
    return List.of(words.split(" "));
  }

  /** Paragraphs, or parts of them that end with a sentence. */
  private static List<String> lines(Corpus.Text text) {
    List<String> lines = new ArrayList<>();
    int characters = 0;
    BreakIterator sentences = BreakIterator.getSentenceInstance(Locale.ROOT);
    for (String paragraph : text.paragraphs()) {
      sentences.setText(paragraph);
      int from = 0;
      for (int to = sentences.next(); to != BreakIterator.DONE; to = sentences.next()) {
        if (to - from >= LINE_CHARACTERS || to == paragraph.length()) {
          lines.add(paragraph.substring(from, to).strip());
          from = to;
        }
      }
      characters += paragraph.length();
      if (characters > MOST_CHARACTERS) {
        break;
      }
    }
    return lines;
  }
}
