package dev.kvshare.apply.model.tokenizer.template;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate.ChatMessage;
import java.io.IOException;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Templates with the constructs of public models against what transformers renders ({@code
 * src/test/python/make_chat_cases.py}).
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

  /** Places where Jinjava alone computes something else than Jinja; expected as Jinja gives it. */
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
          {{ 'x' is iterable and {'a': 1} is sequence }} ==> true
          {{ {'a': 1} | items | list | length }} ==> 1
          """)
  void computesAsJinja(String template, String expected) {
    assertEquals(expected, render(template));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{% for i in [] %}x{% else %}empty{% endfor %}",
        "{% for i in [1] %}{{ loop.previtem }}{% endfor %}",
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

  private static String render(String template) {
    return new ChatTemplate("model.gguf", template, SPECIAL_TOKENS)
        .render(List.of(ChatMessage.user("hi")), true, NOW);
  }
}
