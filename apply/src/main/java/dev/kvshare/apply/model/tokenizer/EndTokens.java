package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Set;
import java.util.TreeSet;

/** The ids that end a generated text, as a model's files name them. */
public final class EndTokens {
  private static final String KEY = "eos_token_id";

  private EndTokens() {}

  /**
   * The end tokens of {@code generation_config.json} where it names any, else those of the model's
   * configuration; either file may give one id or a list.
   *
   * @param location the model's directory or file
   */
  public static Set<Integer> of(Path location, ModelConfig config) {
    Path file = location.resolve("generation_config.json");
    Set<Integer> ids = new TreeSet<>();
    if (Files.isRegularFile(file)) {
      ObjectNode json = TokenizerJson.readObject(file);
      add(json.path(KEY), file, ids);
    }
    if (ids.isEmpty()) {
      add(config.json().path(KEY), config.origin(), ids);
    }
    return Collections.unmodifiableSet(ids);
  }

  private static void add(JsonNode value, Path file, Set<Integer> ids) {
    if (value.isArray()) {
      value.forEach(id -> add(id, file, ids));
    } else if (value.isInt() && value.intValue() >= 0) {
      ids.add(value.intValue());
    } else if (!value.isMissingNode() && !value.isNull()) {
      throw new CheckpointException.Tokenizer(
          "%s: the key '%s' is %s, expected a token id or a list of token ids. Correct the file or download the model again."
              .formatted(file, KEY, value));
    }
  }
}
