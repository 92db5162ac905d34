package dev.kvshare.apply.model.tokenizer.template;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate.ChatMessage;
import dev.kvshare.apply.model.tokenizer.template.TemplateEngine.TemplateException;
import java.io.IOException;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Templates with the constructs of public models against what transformers renders ({@code
 * src/test/python}: {@code make_chat_cases.py}, {@code make_template_cases.py}).
 */
class ChatTemplateTest {
  private static final LocalDateTime NOW = LocalDateTime.of(2026, 11, 23, 15, 4, 5);
  private static final Map<String, String> SPECIAL_TOKENS =
      Map.of("bos_token", "<s>", "eos_token", "</s>");

  record Case(
      String template,
      String source,
      String conversation,
      List<ChatMessage> messages,
      boolean addGenerationPrompt,
      String expected,
      String error) {
    @Override
    public String toString() {
      return template + ", " + conversation + ", " + addGenerationPrompt;
    }
  }

  static Stream<Case> cases() throws IOException {
    Path file = Path.of("src", "test", "resources", "chat", "cases.json");
    JsonNode root = new ObjectMapper().readTree(file.toFile());
    return StreamSupport.stream(root.get("cases").spliterator(), false)
        .map(
            node -> {
              List<ChatMessage> messages = new ArrayList<>();
              String conversation = node.get("conversation").textValue();
              for (JsonNode message : root.get("conversations").get(conversation)) {
                messages.add(
                    new ChatMessage(
                        message.get("role").textValue(), message.get("content").textValue()));
              }
              String template = node.get("template").textValue();
              return new Case(
                  template,
                  root.get("templates").get(template).textValue(),
                  conversation,
                  messages,
                  node.get("add_generation_prompt").booleanValue(),
                  node.path("expected").textValue(),
                  node.path("error").textValue());
            });
  }

  /** A rendering by transformers, or the error that ended it. */
  record Snippet(
      String name,
      String template,
      Map<String, Object> variables,
      String expected,
      JsonNode source) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static Stream<Snippet> snippets(Path file) throws IOException {
    ObjectMapper json = new ObjectMapper();
    JsonNode root = json.readTree(file.toFile());
    return StreamSupport.stream(root.get("cases").spliterator(), false)
        .map(
            node -> {
              Map<String, Object> variables = new HashMap<>(SPECIAL_TOKENS);
              JsonNode messages =
                  node.has("messages") ? node.get("messages") : root.get("messages");
              variables.put("messages", json.convertValue(messages, List.class));
              variables.put("tools", json.convertValue(node.path("tools"), List.class));
              variables.put("documents", null);
              variables.put(
                  "add_generation_prompt", node.path("add_generation_prompt").asBoolean(true));
              return new Snippet(
                  node.get("name").textValue(),
                  node.get("template").textValue(),
                  variables,
                  node.path("expected").textValue(),
                  node);
            });
  }

  /** Every point of the language in a snippet of its own ({@code make_template_cases.py}). */
  @Test
  void rendersSnippetsAsTransformers() throws IOException {
    assertRendered(Path.of("src", "test", "resources", "chat", "snippets.json"));
  }

  /**
   * Templates of public models, which are not kvshare's to keep: {@code make_template_cases.py
   * FOLDER CASES.json} renders those of a folder.
   */
  @Test
  @Tag("real-model")
  @EnabledIfSystemProperty(
      named = "kvshare.templates",
      matches = ".+",
      disabledReason = "needs rendered templates: -Dkvshare.templates=CASES.json")
  void rendersPublicTemplatesAsTransformers() throws IOException {
    assertRendered(Path.of(System.getProperty("kvshare.templates")));
  }

  private static void assertRendered(Path file) throws IOException {
    LocalDateTime now = LocalDateTime.of(2026, 11, 3, 15, 4, 5, 678_000);
    List<String> differences = new ArrayList<>();
    snippets(file)
        .forEach(
            snippet -> {
              String found;
              boolean raised = false;
              try {
                found = TemplateEngine.render(snippet.template(), snippet.variables(), now);
              } catch (TemplateException e) {
                found = null;
                raised = e.raised();
              }
              if (!Objects.equals(snippet.expected(), found)
                  || snippet.source().path("raised").asBoolean() != raised) {
                differences.add("%s: %s%n  found %s".formatted(snippet, snippet.source(), found));
              }
            });
    assertTrue(differences.isEmpty(), String.join("\n", differences));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void rendersAsTransformers(Case expected) {
    ChatTemplate template =
        new ChatTemplate("tokenizer_config.json", expected.source(), SPECIAL_TOKENS);
    if (expected.error() == null) {
      assertEquals(
          expected.expected(),
          template.render(expected.messages(), expected.addGenerationPrompt(), NOW));
    } else {
      CheckpointException.Tokenizer error =
          assertThrows(
              CheckpointException.Tokenizer.class,
              () -> template.render(expected.messages(), expected.addGenerationPrompt(), NOW));
      assertTrue(error.getMessage().contains(expected.error()), error.getMessage());
    }
  }

  /** Places where engines other than Jinja compute something else; expected as Jinja gives it. */
  @ParameterizedTest
  @CsvSource(
      delimiterString = "==>",
      quoteCharacter = '`',
      textBlock =
          """
          {{ 1 if not messages is defined else 2 }} ==> 2
          {{ 1 if not 'a' in ['b'] else 2 }} ==> 1
          {{ 1 if not 3 == 4 else 2 }} ==> 1
          {{ 1 if not messages[0].content~'' == 'x' and true else 2 }} ==> 1
          {% for i in [1, 2, 3] if i != 2 %}{{ loop.index }}{{ i }}{{ loop.last }};{% endfor %} ==> 11False;23True;
          {% for a in [1, 2] if a == 2 %}{% for b in [3, 4] if b == a + 2 %}{{ b }}{% endfor %}{% endfor %} ==> 4
          {% set ns = namespace(n='abc'~'' , k=[1, 2]~'' == 'x') %}{{ ns.n }}{{ ns.k }} ==> abcFalse
          {{ 'abc'[::-1] }} ==> cba
          {{ true }} {{ not true }} {{ 1 == 1.0 }} ==> True False True
          {{ '  .a.  '.strip().strip('.') }} ==> a
          {{ 'a</t>b.c'.split('</t>')[-1].split('.') | join('/') }} ==> b/c
          {{ 'x' is iterable and {'a': 1} is sequence }} ==> True
          {{ {'a': 1} | items | list | length }} ==> 1
          {% for i in [] %}x{% else %}empty{% endfor %} ==> empty
          {% for i in [1, 2] %}{{ loop.previtem }}{% endfor %} ==> 1
          {{ 'a' and 'b' }} {{ [1, 'a', none] }} {{ {'a': {'b': {'c': 1}}} }} ==> b [1, 'a', None] {'a': {'b': {'c': 1}}}
          """)
  void computesAsJinja(String template, String expected) {
    assertEquals(expected, render(template));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{ 'a' | nofilter }}",
        "{{ 'a' is notest }}",
        "{{ 'a'.nomethod() }}",
        "{{ nofunction() }}",
        "{% nostatement %}",
        "{% include 'log4j.properties' %}",
        "{{ 'a' ",
        "{{ strftime_now('%Q') }}"
      })
  void refusesWhatItCannotRender(String template) {
    CheckpointException.Tokenizer error =
        assertThrows(CheckpointException.Tokenizer.class, () -> render(template));
    assertTrue(error.getMessage().startsWith("model.gguf: "), error.getMessage());
    assertTrue(error.getMessage().contains("cannot be rendered"), error.getMessage());
  }

  @Test
  void takesNoMessageForTemplateText() {
    ChatTemplate template = new ChatTemplate("x", "{{ messages[0].content }}", Map.of());
    String content = "{{ 1 + 1 }}{% raise %}{# no #}\\n'\"";
    assertEquals(content, template.render(List.of(ChatMessage.user(content)), false, NOW));
  }

  /** Templates without end, or that ask for too much; two of them run into the limit of time. */
  static Stream<String> hostileTemplates() {
    String grow =
        "{% set ns = namespace(x=['ab']) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
    return Stream.of(
        "{{ " + "(".repeat(50_000) + "1" + ")".repeat(50_000) + " }}",
        "{{ " + "[".repeat(99) + "(".repeat(99) + "1" + ")".repeat(99) + "]".repeat(99) + " }}",
        "{% if true %}".repeat(2_000) + "{% endif %}".repeat(2_000),
        "{{ " + "not ".repeat(2_000) + "true }}",
        "{{ " + "-".repeat(2_000) + "1 }}",
        "{{ " + "1 if false else ".repeat(2_000) + "2 }}",
        "{% if false %}" + "{% elif false %}".repeat(2_000) + "{% endif %}",
        "{{ true" + " and true".repeat(2_000) + " }}",
        "{{ 'a'" + " | upper".repeat(2_000) + " }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'a'.center(2000000000) }}",
        "{{ 'a' | center(2000000000) }}",
        "{{ 'a' * 2000000000 }}",
        "{{ [1] * 2000000000 }}",
        "{{ '%2000000000d' % 1 }}",
        "{{ 'a' | indent(2000000000, true) }}",
        "{{ ('a' * 2000).replace('a', 'b' * 4000000) | length }}",
        "{{ range(2000000000) | list }}",
        grow + "{{ ns.x | tojson }}",
        grow + "{{ ns.x }}",
        grow
            + "{{ ns.x == ns.x }}{% set o = namespace(x=['ab']) %}"
            + "{% for i in range(60) %}{% set o.x = [o.x, o.x] %}{% endfor %}{{ o.x == ns.x }}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='a' * 1000) %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}");
  }

  @ParameterizedTest
  @MethodSource("hostileTemplates")
  void endsHostileTemplatesWithAPlainError(String template) {
    CheckpointException.Tokenizer error =
        assertThrows(CheckpointException.Tokenizer.class, () -> render(template));
    assertTrue(
        error.getMessage().matches("model\\.gguf: .*cannot be rendered: [^\n]+"),
        error::getMessage);
    assertTrue(error.getMessage().length() < 500, error::getMessage);
  }

  @Test
  void rendersALongConversation() {
    List<ChatMessage> messages = new ArrayList<>();
    for (int i = 0; i < 2000; i++) {
      messages.add(ChatMessage.user("word ".repeat(200)));
    }
    String text =
        new ChatTemplate(
                "x", "{% for m in messages %}{{ m.role ~ m.content | trim }}{% endfor %}", Map.of())
            .render(messages, false, NOW);
    assertEquals(2000 * (4 + 999), text.length());
  }

  @ParameterizedTest
  @CsvSource(
      delimiterString = "==>",
      textBlock =
          """
          a|b|{{ nope.x }} ==> model.gguf: line 3 of the chat template cannot be rendered: 'nope' is undefined.
          {% if true %}|{{ messages[0].name.first }}|{% endif %} ==> model.gguf: line 2 of the chat template cannot be rendered: 'dict object' has no attribute 'name'.
          a|{{ 1 +|}} ==> model.gguf: line 2 of the chat template cannot be rendered: its syntax is wrong or not supported
          a|{% for x in [1] %}|b ==> model.gguf: line 2 of the chat template cannot be rendered: it ends inside a block that is not closed.
          a|{# b ==> model.gguf: line 2 of the chat template cannot be rendered: a comment is not closed.
          {{ 'a'|urlencode }} ==> model.gguf: line 1 of the chat template cannot be rendered: the filter 'urlencode' is not supported.
          a|{{ raise_exception('Only users.') }} ==> model.gguf: the chat template refuses the conversation: Only users.
          """)
  void namesFileAndLine(String template, String start) {
    String source = template.contains("urlencode") ? template : template.replace('|', '\n');
    CheckpointException.Tokenizer error =
        assertThrows(CheckpointException.Tokenizer.class, () -> render(source));
    assertTrue(error.getMessage().startsWith(start), error::getMessage);
  }

  private static String render(String template) {
    return new ChatTemplate("model.gguf", template, SPECIAL_TOKENS)
        .render(List.of(ChatMessage.user("hi")), true, NOW);
  }
}
