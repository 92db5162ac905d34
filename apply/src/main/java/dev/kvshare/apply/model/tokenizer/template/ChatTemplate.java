package dev.kvshare.apply.model.tokenizer.template;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.tokenizer.template.TemplateEngine.TemplateException;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * A model's own Jinja chat template, rendered as transformers' {@code apply_chat_template} does.
 *
 * <p>{@link TemplateEngine} runs Hugging Face's JavaScript package {@code @huggingface/jinja}; its
 * parser, syntax tree and the frame of its interpreter are used as published. Python's Jinja gives
 * other results in many places, so four scripts beside the package replace what differs:
 *
 * <ul>
 *   <li>{@code python-lexer.js}: white space ({@code trim_blocks}, {@code lstrip_blocks}, the signs
 *       {@code -} and {@code +}), line ends, raw blocks, string escapes, tests with arguments,
 *       brackets that set a rank, and the line of each tag.
 *   <li>{@code python-values.js}: {@code str()} and {@code repr()}, equality, order, membership,
 *       {@code json.dumps()}, {@code strftime()}, undefined values.
 *   <li>{@code python-library.js}: the methods of Python's types, Jinja's filters and tests.
 *   <li>{@code python-interpreter.js}: what a block, loop or macro sees and sets, chained
 *       comparisons, operators, attributes before items, {@code loop}, {@code namespace}, {@code
 *       break} and {@code continue}, {@code {% generation %}}.
 * </ul>
 *
 * <p>Refused by name rather than rendered differently: the tags {@code include}, {@code import},
 * {@code extends}, {@code block}, {@code with}, {@code autoescape} and recursive loops; the filters
 * {@code attr}, {@code filesizeformat}, {@code forceescape}, {@code pprint}, {@code random}, {@code
 * slice}, {@code striptags}, {@code urlencode}, {@code urlize}, {@code wordwrap} and {@code
 * xmlattr}; {@code lipsum}, {@code cycler} and {@code joiner}; rare methods and attributes of
 * Python's types; integers beyond 2<sup>53</sup>; printing functions and iterators; fields of
 * {@code format()} with a specification; forms of {@code strftime} that the GNU C library does not
 * know. The parser accepts some templates that Python refuses, such as lists without commas or a
 * {@code break} outside a loop that is never reached. Powers of fractions may differ in the last
 * digit.
 *
 * <p>A rendering ends with an error after 30 seconds, with 128 MiB of memory, with a text of 4 Mi
 * characters, below 100 nested brackets or where statements and macros nest too deeply.
 */
public final class ChatTemplate {
  private final Object origin;
  private final String source;
  private final Map<String, String> specialTokens;

  /**
   * @param origin the file, for messages
   * @param specialTokens variables of the template such as {@code bos_token}
   */
  public ChatTemplate(Object origin, String source, Map<String, String> specialTokens) {
    this.origin = origin;
    this.source = Objects.requireNonNull(source, "source");
    this.specialTokens = Map.copyOf(specialTokens);
  }

  /** The file that holds the template. */
  public Object origin() {
    return origin;
  }

  /** The template as the model's files give it. */
  public String source() {
    return source;
  }

  /**
   * Renders a conversation. The text holds the special tokens that the template writes (a BOS too,
   * if any), so it is encoded without adding special tokens.
   *
   * @param addGenerationPrompt whether to end with the opening of the assistant's next turn
   * @throws CheckpointException.Tokenizer when the template refuses the conversation or cannot be
   *     rendered
   */
  public String render(List<ChatMessage> messages, boolean addGenerationPrompt) {
    return render(messages, addGenerationPrompt, LocalDateTime.now(ZoneId.systemDefault()));
  }

  /**
   * The same at a given time, which makes prompts with a date reproducible.
   *
   * @param now what the template is told when it asks for the date
   * @throws CheckpointException.Tokenizer as above
   */
  public String render(List<ChatMessage> messages, boolean addGenerationPrompt, LocalDateTime now) {
    Map<String, Object> variables = new HashMap<>(specialTokens);
    List<Object> turns = new ArrayList<>();
    for (ChatMessage message : messages) {
      Map<String, Object> turn = new LinkedHashMap<>();
      turn.put("role", message.role());
      turn.put("content", message.content());
      turns.add(turn);
    }
    variables.put("messages", turns);
    variables.put("add_generation_prompt", addGenerationPrompt);
    variables.put("tools", null);
    variables.put("documents", null);
    try {
      return TemplateEngine.render(source, variables, now);
    } catch (TemplateException e) {
      throw failure(e);
    }
  }

  private CheckpointException.Tokenizer failure(TemplateException e) {
    if (e.raised()) {
      return new CheckpointException.Tokenizer(
          "%s: the chat template refuses the conversation: %s".formatted(origin, e.getMessage()),
          e);
    }
    String where = e.line() == 0 ? "" : "line " + e.line() + " of ";
    return new CheckpointException.Tokenizer(
        "%s: %sthe chat template cannot be rendered: %s. Write the conversation as plain text in the model's format instead."
            .formatted(origin, where, e.getMessage()),
        e);
  }

  /**
   * One turn of a conversation.
   *
   * @param role who speaks, as the model's template names it: usually {@code system}, {@code user}
   *     or {@code assistant}
   * @param content what was said
   */
  public record ChatMessage(String role, String content) {
    public ChatMessage {
      Objects.requireNonNull(role, "role");
      Objects.requireNonNull(content, "content");
    }

    public static ChatMessage system(String content) {
      return new ChatMessage("system", content);
    }

    public static ChatMessage user(String content) {
      return new ChatMessage("user", content);
    }

    public static ChatMessage assistant(String content) {
      return new ChatMessage("assistant", content);
    }
  }
}
