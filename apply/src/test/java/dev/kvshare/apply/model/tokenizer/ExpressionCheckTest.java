package dev.kvshare.apply.model.tokenizer;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Expressions of real tokenizers run, those that the native library could fail on do not. */
class ExpressionCheckTest {
  static Stream<String> known() throws IOException {
    List<String> bundled;
    try (InputStream stream = GgufTokenizers.class.getResourceAsStream("pre-tokenizers.json")) {
      bundled = new ObjectMapper().readTree(stream).findValuesAsText("Regex");
    }
    return Stream.concat(
        bundled.stream(),
        Stream.of(
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
            "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]",
            "[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}",
            "[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}])([^a-z]))*((?=[\\p{L}])([^A-Z]))+|\\p{N}",
            "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{M}&&[^\\p{Han}]]+",
            "\\d{1,3}(?=(?:\\d{3})*\\b)",
            "(?=(\\d{3})+(?!\\d))",
            " ?[^(\\s|[.,!?…。，、।۔،])]+",
            "[]a]+|[^]a]|[[:alpha:]]+",
            "(?<=\\d)\\p{L}+(?# a comment)"));
  }

  @ParameterizedTest
  @MethodSource("known")
  void knownExpressionsRun(String expression) {
    assertNull(ExpressionCheck.problem(expression));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(a+)+$",
        "(a*)*b",
        "(a|aa)+$",
        "(a|a)*b",
        "(?:a?){50}a{50}",
        "a*a*a*b",
        "a*b++c",
        "a*(?=a*)b",
        "(?:a(?=a*b))*",
        "(?:a*)+(?=b)",
        "(?i)(x+x+)+y",
        "(a?a?a?a?a?a?a?a?a?a?a?a?)b",
        "(a)\\1+",
        "(?<n>a)\\k<n>",
        "(?<n>a\\g<n>?)",
        "(?~a)",
        "a{2}+",
        "a**",
        "*a",
        "(a",
        "a)",
        "[a",
        "\\"
      })
  void thoseThatMayTakeTooLongDoNot(String expression) {
    assertNotNull(ExpressionCheck.problem(expression));
  }

  @ParameterizedTest
  @ValueSource(ints = {40, 100_000})
  void deepOrLongOnesDoNot(int depth) {
    assertNotNull(ExpressionCheck.problem("(".repeat(depth) + "a" + ")".repeat(depth)));
  }
}
