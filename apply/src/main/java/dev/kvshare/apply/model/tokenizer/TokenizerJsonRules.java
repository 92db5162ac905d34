package dev.kvshare.apply.model.tokenizer;

import com.fasterxml.jackson.databind.JsonNode;
import dev.kvshare.apply.model.CheckpointException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What is wrong with a {@code tokenizer.json} that the native library would accept in silence or
 * refuse without a useful word. All problems found are reported at once, up to a limit.
 */
final class TokenizerJsonRules {
  private static final int MAX_PROBLEMS = 8;
  private static final String SUPPORTED_VERSION = "1.0";

  private static final Set<String> MODELS = Set.of("BPE", "Unigram", "WordPiece", "WordLevel");
  private static final Map<String, Set<String>> KINDS =
      Map.of(
          "normalizer",
          words(
              "BertNormalizer Strip StripAccents NFC NFD NFKC NFKD Sequence Lowercase Nmt "
                  + "Precompiled Replace Prepend ByteLevel"),
          "pre_tokenizer",
          words(
              "BertPreTokenizer ByteLevel CharDelimiterSplit Metaspace Whitespace "
                  + "Sequence Split Punctuation WhitespaceSplit Digits UnicodeScripts "
                  + "FixedLength"),
          "post_processor",
          words("BertProcessing RobertaProcessing ByteLevel TemplateProcessing Sequence"),
          "decoder",
          words(
              "BPEDecoder ByteLevel WordPiece Metaspace CTC Sequence Replace Fuse Strip "
                  + "ByteFallback"));
  private static final List<String> NESTED =
      List.of("normalizers", "pretokenizers", "processors", "decoders");

  private final TokenizerJson json;
  private final List<String> problems = new ArrayList<>();

  private TokenizerJsonRules(TokenizerJson json) {
    this.json = json;
  }

  private static Set<String> words(String text) {
    return Set.of(text.split(" ", -1));
  }

  /** Throws when the document breaks a rule. */
  static void check(TokenizerJson json) {
    TokenizerJsonRules rules = new TokenizerJsonRules(json);
    rules.checkAll();
    if (!rules.problems.isEmpty()) {
      throw new CheckpointException.Tokenizer(
          "%s cannot be used (bundled tokenizers library %s): %s. Download the model again, or convert its tokenizer with a current version of transformers."
              .formatted(
                  json.origin(),
                  NativeTokenizer.LIBRARY_VERSION,
                  String.join("; ", rules.problems)));
    }
  }

  /** Throws when a token of the vocabulary has an id that the model has no row for. */
  static void checkModelSize(TokenizerJson json, int modelVocabularySize) {
    for (Map.Entry<String, Integer> entry : json.ids().entrySet()) {
      if (entry.getValue() >= modelVocabularySize) {
        throw new CheckpointException.Tokenizer(
            "%s: the token '%s' has the id %d, but the model's vocab_size is %d. The tokenizer belongs to another model: use the one that came with the checkpoint."
                .formatted(json.origin(), entry.getKey(), entry.getValue(), modelVocabularySize));
      }
    }
  }

  private void checkAll() {
    JsonNode version = json.root().path("version");
    if (!SUPPORTED_VERSION.equals(version.asText())) {
      add("version is " + version + ", expected \"" + SUPPORTED_VERSION + "\"");
    }
    KINDS.forEach(
        (component, kinds) -> {
          checkKind(component, json.root().path(component), kinds);
          for (String expression : json.root().path(component).findValuesAsText("Regex")) {
            String problem = ExpressionCheck.problem(expression);
            if (problem != null) {
              add(
                  "%s has the regular expression '%s', which is not run: %s"
                      .formatted(
                          component,
                          expression.substring(0, Math.min(80, expression.length())),
                          problem));
            }
          }
        });
    JsonNode model = json.root().path("model");
    if (!model.isObject() || !model.path("vocab").isContainerNode()) {
      add("model.vocab is missing, so it holds no vocabulary");
      return;
    }
    if (model.has("type") && !MODELS.contains(model.path("type").asText())) {
      add("model.type is " + model.path("type") + ", expected one of " + MODELS);
    }
    checkIds();
    checkMerges(model);
    checkUnknown(model);
    checkAddedTokens();
  }

  private void checkKind(String path, JsonNode component, Set<String> kinds) {
    if (component.isMissingNode() || component.isNull()) {
      return;
    }
    String kind = component.path("type").asText();
    if (!kinds.contains(kind)) {
      add(path + ".type '" + kind + "' is unknown, expected one of " + kinds);
    }
    for (String list : NESTED) {
      for (int i = 0; i < component.path(list).size(); i++) {
        checkKind(path + "." + list + "[" + i + "]", component.path(list).get(i), kinds);
      }
    }
  }

  private void checkIds() {
    Map<Integer, String> tokens = new HashMap<>();
    json.ids()
        .forEach(
            (token, id) -> {
              if (id < 0) {
                add("the token '" + token + "' of model.vocab has no id of at least 0");
              }
              String other = tokens.put(id, token);
              if (other != null) {
                add("model.vocab gives id " + id + " to both '" + other + "' and '" + token + "'");
              }
            });
  }

  private void checkMerges(JsonNode model) {
    int rank = 0;
    String prefix = model.path("continuing_subword_prefix").asText("");
    for (JsonNode merge : model.path("merges")) {
      String[] parts =
          merge.isTextual()
              ? merge.textValue().split(" ", -1)
              : new String[] {merge.path(0).asText(), merge.path(1).asText()};
      if (parts.length != 2 || (merge.isArray() && merge.size() != 2)) {
        add("model.merges[" + rank + "] is " + merge + ", expected two tokens");
      } else {
        String right = parts[1].startsWith(prefix) ? parts[1].substring(prefix.length()) : parts[1];
        for (String token : new String[] {parts[0], parts[1], parts[0] + right}) {
          if (!json.ids().containsKey(token)) {
            add("model.merges[" + rank + "] needs the token '" + token + "', not in model.vocab");
          }
        }
      }
      rank++;
    }
  }

  private void checkUnknown(JsonNode model) {
    JsonNode token = model.path("unk_token");
    if (token.isTextual() && json.id(token.textValue()) == null) {
      add("model.unk_token " + token + " is not in the vocabulary");
    }
    JsonNode id = model.path("unk_id");
    if (id.isNumber() && (id.asInt() < 0 || id.asInt() >= json.ids().size())) {
      add("model.unk_id is " + id + ", outside the vocabulary of " + json.ids().size());
    }
  }

  /** The library ignores the declared id of an added token and counts; both must agree. */
  private void checkAddedTokens() {
    int highest = -1;
    int size = json.ids().size();
    Map<String, Integer> assigned = new HashMap<>();
    for (JsonNode token : json.root().path("added_tokens")) {
      String content = token.path("content").asText();
      Integer known =
          assigned.containsKey(content) ? assigned.get(content) : json.ids().get(content);
      int id = known != null ? known : Math.max(size, highest + 1);
      assigned.put(content, id);
      highest = Math.max(highest, id);
      if (token.path("id").asInt(-1) != id) {
        add(
            "the added token '%s' declares the id %s but is number %d in the order of the file"
                .formatted(content, token.path("id"), id));
      }
    }
  }

  private void add(String problem) {
    if (problems.size() < MAX_PROBLEMS) {
      problems.add(problem);
    } else if (problems.size() == MAX_PROBLEMS) {
      problems.add("and more");
    }
  }
}
