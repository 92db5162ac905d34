package dev.kvshare.apply.model.tokenizer.template;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.roastedroot.quickjs4j.core.Builtins;
import io.roastedroot.quickjs4j.core.Engine;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.time.temporal.ChronoField;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import run.endive.runtime.ByteArrayMemory;
import run.endive.wasm.types.MemoryLimits;

/**
 * Runs Hugging Face's JavaScript package {@code @huggingface/jinja} 0.5.11 in QuickJS, which runs
 * as WebAssembly in the Java virtual machine. A template reaches no file, no network, no clock and
 * no Java class, and there are limits on time, memory, depth and text. Starting an engine takes
 * about a second, so one is kept for the next rendering unless its memory or time ran out. {@link
 * ChatTemplate} says where the scripts beside the package depart from it.
 */
final class TemplateEngine {
  private static final int LONGEST_SECONDS = 30;

  /** A long conversation gets more time: a second for so many characters. */
  private static final int CHARACTERS_A_SECOND = 50_000;

  private static final int LONGEST_START_SECONDS = 120;

  /** 128 MiB in WebAssembly's pages of 64 KiB. */
  private static final int MAX_PAGES = 2048;

  private static final long STACK_BYTES = 64L << 20;

  private static final String PACKAGE = "huggingface-jinja/index.cjs";
  private static final List<String> SCRIPTS =
      List.of("python-lexer.js", "python-values.js", "python-library.js", "python-interpreter.js");

  /** What the scripts use of the package, of which it exports only a part. */
  private static final String NAMES =
      "BreakControl, ContinueControl, RuntimeValue, IntegerValue, FloatValue, StringValue,"
          + " BooleanValue, ObjectValue, KeywordArgumentsValue, NamespaceValue, ArrayValue,"
          + " TupleValue, FunctionValue, NullValue, UndefinedValue, Interpreter, Token, parse, slice,"
          + " findAccessedSpecialMacroArguments, convertToRuntimeValues";

  /** The package defines each field of each value by a slow call; an assignment does the same. */
  private static final String FAST_FIELDS =
      "\n__publicField = (object, name, value) => { object[name] = value; };\n";

  private static final ObjectMapper JSON = new ObjectMapper();

  /** An engine that waits for the next rendering; null where there is none. */
  private static final AtomicReference<TemplateEngine> IDLE = new AtomicReference<>();

  private final Engine engine;
  private String request;
  private String rendered;
  private JsonNode failure;

  private TemplateEngine() {
    Builtins host =
        Builtins.builder("host")
            .addVoidToString("request", () -> request)
            .addStringToVoid("rendered", text -> rendered = text)
            .addStringToVoid("failed", json -> failure = read(json))
            .build();
    engine =
        Engine.builder()
            .addBuiltins(host)
            .withMemoryFactory(
                limits -> new ByteArrayMemory(new MemoryLimits(limits.initialPages(), MAX_PAGES)))
            .build();
    execute(script());
  }

  /**
   * Renders a template.
   *
   * @param variables what the template sees; texts, lists, maps, truth values, numbers and null
   * @param now what the template is told when it asks for the date
   */
  static String render(String template, Map<String, Object> variables, LocalDateTime now)
      throws TemplateException {
    List<Integer> time =
        List.of(
            now.getYear(),
            now.getMonthValue(),
            now.getDayOfMonth(),
            now.getHour(),
            now.getMinute(),
            now.getSecond(),
            now.get(ChronoField.MICRO_OF_SECOND));
    String request;
    try {
      request =
          JSON.writeValueAsString(
              Map.of("template", template, "variables", variables, "now", time));
    } catch (JsonProcessingException e) {
      throw new TemplateException("the conversation holds text that is not valid Unicode", e);
    }
    ExecutorService thread =
        Executors.newSingleThreadExecutor(
            task -> {
              Thread made = new Thread(null, task, "kvshare-chat-template", STACK_BYTES);
              made.setDaemon(true);
              return made;
            });
    try {
      TemplateEngine idle = IDLE.getAndSet(null);
      TemplateEngine ready =
          idle == null ? await(thread, TemplateEngine::new, LONGEST_START_SECONDS) : idle;
      int conversation = request.length() - template.length();
      int seconds = LONGEST_SECONDS + conversation / CHARACTERS_A_SECOND;
      await(thread, () -> ready.answer(request), seconds);
      return ready.result();
    } finally {
      thread.shutdownNow();
    }
  }

  private boolean answer(String asked) {
    request = asked;
    rendered = null;
    failure = null;
    execute("answer(host);");
    return true;
  }

  private void execute(String code) {
    int compiled = engine.compile(code);
    engine.exec(compiled);
    engine.free(compiled);
  }

  /** The answer; the engine is kept unless it may be out of memory. */
  private String result() throws TemplateException {
    JsonNode failed = failure;
    String text = rendered;
    if (failed == null || failed.path("sound").asBoolean()) {
      IDLE.set(this); // Another thread may use it from here on.
    }
    if (failed != null) {
      throw new TemplateException(
          failed.path("message").asText(),
          failed.path("line").asInt(),
          failed.path("raised").asBoolean());
    }
    return text;
  }

  private static <T> T await(ExecutorService thread, Callable<T> task, int seconds)
      throws TemplateException {
    Future<T> result = thread.submit(task);
    try {
      return result.get(seconds, TimeUnit.SECONDS);
    } catch (TimeoutException e) {
      throw new TemplateException("it takes longer than %d seconds".formatted(seconds), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new TemplateException("the rendering was interrupted", e);
    } catch (ExecutionException e) {
      // QuickJS gives up, or WebAssembly traps, where memory or stack ends.
      throw new TemplateException(
          "it needs more than %d MiB of memory, or is nested too deeply"
              .formatted(MAX_PAGES * 64 / 1024),
          e);
    }
  }

  private static String script() {
    StringBuilder script = new StringBuilder("(() => {\n");
    script.append("const {%s} = (function (module) {\n".formatted(NAMES));
    script.append(resource(PACKAGE));
    script.append(FAST_FIELDS).append("return {%s};\n})({});\n".formatted(NAMES));
    SCRIPTS.forEach(name -> script.append(resource(name)).append('\n'));
    return script.append("globalThis.answer = answer;\n})();\n").toString();
  }

  private static String resource(String name) {
    try (InputStream stream = TemplateEngine.class.getResourceAsStream(name)) {
      return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException("The script " + name + " cannot be read.", e);
    }
  }

  private static JsonNode read(String json) {
    try {
      return JSON.readTree(json);
    } catch (JsonProcessingException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A template that cannot be rendered, or that refuses the conversation itself. */
  static final class TemplateException extends Exception {
    private static final long serialVersionUID = 1L;

    private final int line;
    private final boolean raised;

    TemplateException(String message, Throwable cause) {
      super(message, cause);
      this.line = 0;
      this.raised = false;
    }

    TemplateException(String message, int line, boolean raised) {
      super(message);
      this.line = line;
      this.raised = raised;
    }

    /** The template's line, from 1; 0 where it is not known. */
    int line() {
      return line;
    }

    /** Whether the template called {@code raise_exception}. */
    boolean raised() {
      return raised;
    }
  }
}
