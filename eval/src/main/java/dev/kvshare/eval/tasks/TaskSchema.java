package dev.kvshare.eval.tasks;

import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.datasets.ByteSource;
import dev.kvshare.datasets.JsonRows;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.tasks.TaskItem.Response;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * How the rows of a data set are asked and scored, by the fields that they have on the Hugging Face
 * hub. Texts and scores are those of lm-evaluation-harness 0.4.13 without examples ({@code
 * --num_fewshot 0}).
 */
public enum TaskSchema {
  /** Zellers et al., arXiv 1905.07830; task {@code hellaswag}. */
  HELLASWAG("activity_label", "ctx_a", "ctx_b", "endings", "label") {
    @Override
    TaskItem item(Fields row) {
      String context = row.text("ctx_a") + " " + capitalize(row.text("ctx_b"));
      return TaskItem.choices(
          cleaned(row.text("activity_label") + ": " + context),
          row.texts("endings").stream().map(TaskSchema::cleaned).toList(),
          row.index("label", 0));
    }
  },
  /** Bisk et al., arXiv 1911.11641; task {@code piqa}. */
  PIQA("goal", "sol1", "sol2", "label") {
    @Override
    TaskItem item(Fields row) {
      return TaskItem.choices(
          "Question: %s\nAnswer:".formatted(row.text("goal")),
          List.of(row.text("sol1"), row.text("sol2")),
          row.index("label", 0));
    }
  },
  /** Clark et al., arXiv 1803.05457; tasks {@code arc_easy} and {@code arc_challenge}. */
  ARC("question", "choices", "answerKey") {
    @Override
    TaskItem item(Fields row) {
      return labelled(row, "Question: %s\nAnswer:".formatted(row.text("question")));
    }
  },
  /** Mihaylov et al., arXiv 1809.02789; task {@code openbookqa}. */
  OPENBOOKQA("question_stem", "choices", "answerKey") {
    @Override
    TaskItem item(Fields row) {
      return labelled(row, row.text("question_stem"));
    }
  },
  /** Sakaguchi et al., arXiv 1907.10641; task {@code winogrande}. The choices are contexts. */
  WINOGRANDE("sentence", "option1", "option2", "answer") {
    @Override
    TaskItem item(Fields row) {
      String sentence = row.text("sentence");
      int blank = sentence.indexOf('_');
      if (blank < 0) {
        throw row.refused("sentence", "no blank _ in the sentence");
      }
      List<String> contexts =
          List.of(
              sentence.substring(0, blank) + row.text("option1"),
              sentence.substring(0, blank) + row.text("option2"));
      String rest = " " + sentence.substring(blank + 1).strip();
      return new TaskItem(contexts, List.of(rest, rest), List.of(), row.index("answer", 1), null);
    }
  },
  /** Hendrycks et al., arXiv 2009.03300; tasks {@code mmlu_*}. */
  MMLU("question", "choices", "answer") {
    @Override
    TaskItem item(Fields row) {
      StringBuilder context = new StringBuilder();
      if (row.value().path("subject").isTextual()) {
        context.append(
            "The following are multiple choice questions (with answers) about %s.\n\n"
                .formatted(row.text("subject").replace('_', ' ')));
      }
      context.append(row.text("question").strip());
      List<String> letters = List.of("A", "B", "C", "D");
      List<String> choices = row.texts("choices");
      if (choices.size() != letters.size()) {
        throw row.refused("choices", choices.size() + " choices instead of 4");
      }
      for (int i = 0; i < letters.size(); i++) {
        context.append("\n%s. %s".formatted(letters.get(i), choices.get(i)));
      }
      TaskItem item = TaskItem.choices(context + "\nAnswer:", letters, row.index("answer", 0));
      return new TaskItem(item.contexts(), item.continuations(), List.of(), item.gold(), null);
    }
  },
  /** Cobbe et al., arXiv 2110.14168; task {@code gsm8k}. The model writes the answer. */
  GSM8K("question", "answer") {
    @Override
    TaskItem item(Fields row) {
      String context = "Question: %s\nAnswer:".formatted(row.text("question"));
      return new TaskItem(List.of(context), List.of(), List.of(), 0, row.text("answer"));
    }

    @Override
    Map<String, Double> score(TaskItem item, Response response) {
      Map<String, Double> scores = new LinkedHashMap<>();
      scores.put("exact (strict)", matches(item, first(STRICT, response.text())));
      scores.put("exact (flexible)", matches(item, last(FLEXIBLE, response.text())));
      return scores;
    }
  },
  /** Paperno et al., arXiv 1606.06031; task {@code lambada_openai}. */
  LAMBADA("text") {
    @Override
    TaskItem item(Fields row) {
      String text = row.text("text");
      int last = text.lastIndexOf(' ');
      String word = " " + text.substring(last + 1);
      String context = last < 0 ? "" : text.substring(0, last);
      return new TaskItem(List.of(context), List.of(word), List.of(), 0, null);
    }

    @Override
    Map<String, Double> score(TaskItem item, Response response) {
      Map<String, Double> scores = new LinkedHashMap<>();
      scores.put("accuracy", response.greedy().get(0) ? 1.0 : 0);
      scores.put(LOG_LIKELIHOOD, response.logLikelihoods().get(0));
      return scores;
    }
  };

  /** A score in nats an item; all others are 0 or 1. */
  static final String LOG_LIKELIHOOD = "log-likelihood";

  /** Texts at which a written answer ends. */
  static final List<String> STOPS = List.of("Question:", "</s>", "<|im_end|>");

  private static final Pattern STRICT = Pattern.compile("#### (-?[0-9.,]+)");
  private static final Pattern FLEXIBLE = Pattern.compile("(-?[$0-9.,]{2,})|(-?[0-9]+)");
  private static final List<String> IGNORED = List.of(",", "\\$", "(?s).*#### ", "\\.$");
  private static final String NONE = "[invalid]";

  private final String fields;

  TaskSchema(String... fields) {
    this.fields = String.join(" ", fields);
  }

  private List<String> fields() {
    return List.of(fields.split(" ", -1));
  }

  /** The item of a row; a row that does not fit is refused with its place. */
  abstract TaskItem item(Fields row);

  /** The scores of one item by name. */
  Map<String, Double> score(TaskItem item, Response response) {
    double[] values = response.logLikelihoods().stream().mapToDouble(x -> x).toArray();
    Map<String, Double> scores = new LinkedHashMap<>();
    scores.put("accuracy", highest(values) == item.gold() ? 1.0 : 0);
    if (!item.choices().isEmpty()) {
      for (int i = 0; i < values.length; i++) {
        String choice = item.choices().get(i);
        values[i] /= choice.codePointCount(0, choice.length());
      }
      scores.put("normalised", highest(values) == item.gold() ? 1.0 : 0);
    }
    return scores;
  }

  /** The name that users know it by. */
  public String title() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * The items of one file.
   *
   * @param name the file
   * @param sha256 64 hexadecimal digits over its bytes
   */
  public record Items(TaskSchema schema, String name, String sha256, List<TaskItem> items) {
    public Items {
      items = List.copyOf(items);
    }
  }

  /**
   * Reads JSON lines or a JSON array; the fields of the first row say which schema it is.
   *
   * @throws EvaluationException if no schema has these fields, or a row is not of it
   */
  public static Items read(ByteSource source) {
    JsonRows data = JsonRows.read(source);
    if (data.rows().isEmpty()) {
      throw new EvaluationException(data.name() + " holds no items.");
    }
    Fields first = new Fields(data.rows().get(0));
    TaskSchema schema =
        Arrays.stream(values())
            .filter(each -> each.fields().stream().allMatch(first.value()::has))
            .filter(each -> each != MMLU || first.value().path("choices").isArray())
            .filter(each -> each != GSM8K || first.value().path("answer").isTextual())
            .findFirst()
            .orElseThrow(
                () ->
                    new EvaluationException(
                        "%s has the fields %s, which are those of no task known here:%s"
                            .formatted(data.rows().get(0).where(), first.row.fields(), known())));
    List<TaskItem> items = new ArrayList<>();
    data.rows().forEach(row -> items.add(schema.item(new Fields(row))));
    return new Items(schema, data.name(), data.sha256(), items);
  }

  private static String known() {
    return Arrays.stream(values())
        .map(each -> "\n  %s: %s".formatted(each.title(), String.join(", ", each.fields())))
        .collect(Collectors.joining());
  }

  /** The fields of a row; what is missing or of another kind is refused. */
  private record Fields(JsonRows.Row row) {
    JsonNode value() {
      return row.value();
    }

    String text(String field) {
      if (!value().path(field).isTextual()) {
        throw refused(field, "no text");
      }
      return value().path(field).textValue();
    }

    List<String> texts(String field) {
      JsonNode array = field.startsWith("/") ? value().at(field) : value().path(field);
      if (!array.isArray()
          || array.isEmpty()
          || !array.valueStream().allMatch(JsonNode::isTextual)) {
        throw refused(field, "no array of texts");
      }
      return array.valueStream().map(JsonNode::textValue).toList();
    }

    /** A number, which may be written as a text, less the one that stands for the first choice. */
    int index(String field, int first) {
      String number = value().path(field).asText();
      if (!number.matches("\\d")) {
        throw refused(field, "no number of a choice");
      }
      return Integer.parseInt(number) - first;
    }

    EvaluationException refused(String field, String found) {
      return new EvaluationException(
          "%s has %s in the field %s: %s. Test sets without answers cannot be scored."
              .formatted(row.where(), found, field, value().path(field)));
    }
  }

  /** Choices with labels, of which {@code answerKey} names the right one. */
  private static TaskItem labelled(Fields row, String context) {
    List<String> labels = row.texts("/choices/label");
    int gold = labels.indexOf(row.text("answerKey").stripLeading());
    if (gold < 0) {
      throw row.refused("answerKey", "none of the labels " + labels);
    }
    return TaskItem.choices(context, row.texts("/choices/text"), gold);
  }

  /** As Python's {@code str.capitalize}. */
  private static String capitalize(String text) {
    if (text.isEmpty()) {
      return text;
    }
    int second = text.offsetByCodePoints(0, 1);
    return Character.toString(Character.toTitleCase(text.codePointAt(0)))
        + text.substring(second).toLowerCase(Locale.ROOT);
  }

  /** Without the marks of WikiHow. */
  private static String cleaned(String text) {
    return text.strip().replace(" [title]", ". ").replaceAll("\\[.*?]", "").replace("  ", " ");
  }

  private static int highest(double[] values) {
    return IntStream.range(0, values.length).reduce(0, (a, b) -> values[b] > values[a] ? b : a);
  }

  private static String first(Pattern pattern, String text) {
    return pattern.matcher(text).results().findFirst().map(found -> found.group(1)).orElse(NONE);
  }

  private static String last(Pattern pattern, String text) {
    List<MatchResult> found = pattern.matcher(text).results().toList();
    return found.isEmpty() ? NONE : found.get(found.size() - 1).group();
  }

  private static double matches(TaskItem item, String found) {
    return plain(found.strip()).equals(plain(item.answer())) ? 1 : 0;
  }

  private static String plain(String answer) {
    String plain = answer;
    for (String ignored : IGNORED) {
      plain = plain.replaceAll(ignored, "");
    }
    return plain.toLowerCase(Locale.ROOT);
  }
}
