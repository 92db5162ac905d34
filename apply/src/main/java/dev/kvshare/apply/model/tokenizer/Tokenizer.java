package dev.kvshare.apply.model.tokenizer;

import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;

/** A model's tokenizer. Safe for use by several threads until it is closed. */
public final class Tokenizer implements AutoCloseable {
  private static final Pattern BYTE_TOKEN = Pattern.compile("<0x[0-9A-F]{2}>");

  private final TokenizerDefinition definition;
  private final NativeTokenizer tokenizer;
  private final Set<Integer> byteTokens = new HashSet<>();
  private NativeTokenizer literal;
  private Map<Integer, Integer> bytes;

  private Tokenizer(TokenizerDefinition definition) {
    this.definition = definition;
    this.tokenizer = NativeTokenizer.load(definition.json());
    definition.json().ids().entrySet().stream()
        .filter(entry -> BYTE_TOKEN.matcher(entry.getKey()).matches())
        .forEach(entry -> byteTokens.add(entry.getValue()));
  }

  /** Loads a model's tokenizer; {@code config} gives end tokens and the vocabulary's size. */
  public static Tokenizer load(TokenizerSource source, ModelConfig config) {
    if (source instanceof TokenizerSource.TokenizerFile file) {
      return new Tokenizer(TokenizerFiles.read(file.directory(), config));
    }
    if (source instanceof TokenizerSource.GgufTokenizer gguf) {
      return new Tokenizer(GgufTokenizers.read(gguf, config));
    }
    throw new CheckpointException.Tokenizer(
        "%s: the model has no tokenizer. Put its tokenizer.json beside it, or work with token ids, which need no tokenizer."
            .formatted(config.origin()));
  }

  /**
   * Encodes text. Special tokens written in the text are recognised, as transformers does; use
   * {@link #encodeLiteral} for text that is not trusted to hold any.
   *
   * @param addSpecialTokens whether to add the tokens the model's files ask for (usually a BOS)
   */
  public int[] encode(String text, boolean addSpecialTokens) {
    return tokenizer.encode(text, addSpecialTokens);
  }

  /** Encodes text without recognising or adding special tokens. */
  public int[] encodeLiteral(String text) {
    synchronized (this) {
      if (literal == null) {
        literal = NativeTokenizer.load(definition.json().withoutSpecialTokens());
      }
    }
    return literal.encode(text, false);
  }

  /** Bytes in UTF-8 of the text that tokens stand for. */
  public synchronized long textBytes(int[] ids) {
    if (bytes == null) {
      bytes = new HashMap<>();
      boolean byteLevel = definition.json().root().path("decoder").toString().contains("ByteLevel");
      definition
          .json()
          .ids()
          .forEach((token, id) -> bytes.put(id, byteLevel ? token.length() : utf8Length(token)));
      definition.json().addedIds().forEach((token, id) -> bytes.put(id, utf8Length(token)));
      byteTokens.forEach(id -> bytes.put(id, 1));
    }
    return Arrays.stream(ids).mapToLong(id -> bytes.getOrDefault(id, 0)).sum();
  }

  /** Of a token of SentencePiece, whose blanks are written as U+2581. */
  private static int utf8Length(String token) {
    return token.replace('\u2581', ' ').getBytes(StandardCharsets.UTF_8).length;
  }

  /** Decodes ids to text, with or without special tokens. */
  public String decode(int[] ids, boolean skipSpecialTokens) {
    return tokenizer.decode(ids, skipSpecialTokens);
  }

  /** A decoder for tokens that arrive one by one; special tokens are left out. */
  public StreamingDecoder streaming() {
    return streaming(new int[0]);
  }

  /** A decoder for tokens behind others, so that the first one keeps its leading space. */
  public StreamingDecoder streaming(int[] context) {
    return new StreamingDecoder(ids -> decode(ids, true), byteTokens::contains).behind(context);
  }

  /** One above the highest token id. */
  public int vocabularySize() {
    return definition.json().size();
  }

  /** The id of the token that begins a text, if the model has one. */
  public OptionalInt bosId() {
    Integer id =
        definition.json().id(definition.specialTokens().getOrDefault(TokenizerDefinition.BOS, ""));
    return id == null ? OptionalInt.empty() : OptionalInt.of(id);
  }

  /** The id of a special token, which {@link #decode} can leave out of a text. */
  public OptionalInt specialId(String token) {
    Integer id = definition.json().specialId(token);
    return id == null ? OptionalInt.empty() : OptionalInt.of(id);
  }

  /**
   * The ids that end a generated text where the tokenizer is not loaded: those of {@code
   * generation_config.json} where it names any, else those of the model's configuration.
   *
   * @param location the model's directory or file
   */
  public static Set<Integer> endTokens(Path location, ModelConfig config) {
    return TokenizerFiles.endTokens(location, config);
  }

  /** The ids that end a generated text; may be empty. */
  public Set<Integer> eosIds() {
    return definition.eosIds();
  }

  /** The model's chat template, if its files have one. */
  public Optional<ChatTemplate> chatTemplate() {
    return Optional.ofNullable(
        definition.chatTemplates().get(TokenizerDefinition.DEFAULT_TEMPLATE));
  }

  @Override
  public void close() {
    tokenizer.close();
    synchronized (this) {
      if (literal != null) {
        literal.close();
      }
    }
  }

  /**
   * All that a tokenizer is made of, whatever kind of file it came from.
   *
   * @param json the vocabulary and its processing, with the wanted special tokens in its
   *     post-processor
   * @param specialTokens text of the special tokens by their Hugging Face names ({@code bos_token},
   *     {@code eos_token}, …)
   * @param eosIds the ids that end a generated text
   * @param chatTemplates the chat templates by name; the usual one is {@code default}
   */
  record TokenizerDefinition(
      TokenizerJson json,
      Map<String, String> specialTokens,
      Set<Integer> eosIds,
      Map<String, ChatTemplate> chatTemplates) {

    static final String BOS = "bos_token";
    static final String EOS = "eos_token";
    static final String DEFAULT_TEMPLATE = "default";

    TokenizerDefinition {
      specialTokens = Map.copyOf(specialTokens);
      eosIds = Set.copyOf(eosIds);
      chatTemplates = Map.copyOf(chatTemplates);
    }
  }
}
