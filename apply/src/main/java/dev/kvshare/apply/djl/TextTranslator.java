package dev.kvshare.apply.djl;

import ai.djl.modality.Input;
import ai.djl.modality.Output;
import ai.djl.ndarray.NDList;
import ai.djl.translate.Translator;
import ai.djl.translate.TranslatorContext;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.generate.GenerationRequest;
import dev.kvshare.apply.generate.GenerationRequest.GenerationException;
import dev.kvshare.apply.generate.GenerationResult.Completion;
import dev.kvshare.apply.generate.Prompt;
import dev.kvshare.apply.generate.SamplingOptions;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate.ChatMessage;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Continues texts. The inputs of one {@code batchPredict} with the same settings run as one batch.
 */
abstract class TextTranslator<I, O> implements Translator<I, O> {
  private static final String INPUTS = "inputs";
  private static final String CHAT = "chat";
  private static final Set<String> SETTINGS =
      Set.of(
          "max_new_tokens",
          "temperature",
          "top_k",
          "top_p",
          "min_p",
          "repetition_penalty",
          "seed",
          "stop",
          CHAT);

  private final PolicyBlock block;
  private final Map<String, Object> defaults = new LinkedHashMap<>();

  /**
   * @param arguments settings for inputs that say nothing else; others are passed over
   * @throws IllegalArgumentException if a setting is no such value
   */
  TextTranslator(PolicyBlock block, Map<String, ?> arguments) {
    this.block = block;
    this.defaults.putAll(arguments);
    this.defaults.keySet().retainAll(SETTINGS);
    request("", Map.of());
  }

  /** A text and its continuation; what fails is thrown. */
  static final class Text extends TextTranslator<String, String> {
    Text(PolicyBlock block, Map<String, ?> arguments) {
      super(block, arguments);
    }

    @Override
    GenerationRequest read(String input) {
      return request(input, Map.of());
    }

    @Override
    String write(Completion completion) {
      return completion.text();
    }

    @Override
    String failed(RuntimeException reason) {
      throw reason;
    }
  }

  /**
   * DJL-Serving's request and answer: a text, or JSON {@code {"inputs": TEXT, "parameters":
   * {"max_new_tokens": 20}}}; the answer is {@code {"generated_text": TEXT, "finish_reason":
   * REASON}}, or status 400 and what is wrong with the request.
   */
  static final class Serving extends TextTranslator<Input, Output> {
    private static final ObjectMapper JSON = new ObjectMapper();

    Serving(PolicyBlock block, Map<String, ?> arguments) {
      super(block, arguments);
    }

    @Override
    GenerationRequest read(Input input) {
      if (input.getContent().isEmpty()) {
        throw new IllegalArgumentException("The request is empty: send a text or JSON.");
      }
      String body = input.getData().getAsString();
      String type = input.getProperty("Content-Type", "");
      if (!type.startsWith("application/json") && !body.startsWith("{")) {
        return request(body, Map.of());
      }
      try {
        JsonNode json = JSON.readTree(body);
        JsonNode text = json.path(INPUTS);
        JsonNode parameters = json.path("parameters");
        if (!text.isTextual() || !(parameters.isMissingNode() || parameters.isObject())) {
          throw new IllegalArgumentException(
              "The request is JSON, but not of the form {\"inputs\": TEXT, \"parameters\": {...}}.");
        }
        Map<String, Object> given =
            parameters.isObject()
                ? JSON.convertValue(parameters, new TypeReference<Map<String, Object>>() {})
                : Map.of();
        for (String name : given.keySet()) {
          if (!SETTINGS.contains(name)) {
            throw new IllegalArgumentException(
                "The parameter '%s' is unknown; known are %s."
                    .formatted(name, SETTINGS.stream().sorted().toList()));
          }
        }
        return request(text.textValue(), given);
      } catch (JsonProcessingException e) {
        throw new IllegalArgumentException("The request is not JSON: " + e.getOriginalMessage(), e);
      }
    }

    @Override
    Output write(Completion completion) {
      Output output = new Output();
      output.addProperty("Content-Type", "application/json");
      output.add(
          JSON.createObjectNode()
              .put("generated_text", completion.text())
              .put("finish_reason", completion.finishReason().name())
              .toString());
      return output;
    }

    @Override
    Output failed(RuntimeException reason) {
      return new Output(400, reason.getMessage());
    }
  }

  abstract GenerationRequest read(I input);

  abstract O write(Completion completion);

  abstract O failed(RuntimeException reason);

  @Override
  public NDList batchProcessInput(TranslatorContext context, List<I> inputs) {
    context.setAttachment(INPUTS, inputs);
    return new NDList();
  }

  @Override
  @SuppressWarnings("unchecked")
  public List<O> batchProcessOutput(TranslatorContext context, NDList none) {
    List<I> inputs = (List<I>) context.getAttachment(INPUTS);
    List<O> outputs = new ArrayList<>(Collections.nCopies(inputs.size(), null));
    Map<GenerationRequest, List<Integer>> rows = new LinkedHashMap<>();
    List<Prompt> prompts = new ArrayList<>();
    for (int row = 0; row < inputs.size(); row++) {
      try {
        GenerationRequest request = read(inputs.get(row));
        prompts.add(request.prompts().get(0));
        rows.computeIfAbsent(
                request.withPrompts(List.of(new Prompt.Text(""))), key -> new ArrayList<>())
            .add(row);
      } catch (IllegalArgumentException e) {
        prompts.add(null);
        outputs.set(row, failed(e));
      }
    }
    rows.forEach((request, batch) -> generate(request, batch, prompts, outputs));
    return outputs;
  }

  @Override
  public NDList processInput(TranslatorContext context, I input) {
    return batchProcessInput(context, List.of(input));
  }

  @Override
  public O processOutput(TranslatorContext context, NDList none) {
    return batchProcessOutput(context, none).get(0);
  }

  /** Runs rows together; where one cannot be run, each alone. */
  private void generate(
      GenerationRequest request, List<Integer> rows, List<Prompt> prompts, List<O> outputs) {
    try {
      List<Prompt> batch = rows.stream().map(prompts::get).toList();
      List<Completion> completions = block.generate(request.withPrompts(batch)).completions();
      for (int i = 0; i < rows.size(); i++) {
        outputs.set(rows.get(i), write(completions.get(i)));
      }
    } catch (GenerationException e) {
      if (rows.size() == 1) {
        outputs.set(rows.get(0), failed(e));
      } else {
        rows.forEach(row -> generate(request, List.of(row), prompts, outputs));
      }
    }
  }

  /** A request for a text with these settings and else the defaults. */
  final GenerationRequest request(String text, Map<String, Object> given) {
    Map<String, Object> values = new LinkedHashMap<>(defaults);
    values.putAll(given);
    SamplingOptions sampling =
        new SamplingOptions(
            number(values, "temperature", 0),
            (int) number(values, "top_k", 0),
            number(values, "top_p", 1),
            number(values, "min_p", 0),
            number(values, "repetition_penalty", 1),
            (long) number(values, "seed", 0));
    Object stop = values.getOrDefault("stop", List.of());
    List<String> stops =
        stop instanceof List<?> list
            ? list.stream().map(String::valueOf).toList()
            : List.of(stop.toString());
    int most = (int) number(values, "max_new_tokens", GenerationRequest.DEFAULT_MAX_NEW_TOKENS);
    Prompt prompt =
        Boolean.parseBoolean(String.valueOf(values.get(CHAT)))
            ? new Prompt.Chat(List.of(ChatMessage.user(text)))
            : new Prompt.Text(text);
    return new GenerationRequest(List.of(prompt), most, sampling, stops, false, null);
  }

  private static double number(Map<String, Object> values, String name, double otherwise) {
    Object value = values.get(name);
    try {
      return value == null ? otherwise : Double.parseDouble(value.toString());
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "The setting '%s' is '%s'; expected a number.".formatted(name, value), e);
    }
  }
}
