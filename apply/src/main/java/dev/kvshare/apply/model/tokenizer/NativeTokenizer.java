package dev.kvshare.apply.model.tokenizer;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.OfflineDjl;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * DJL's Hugging Face tokenizer without its surprises: it neither truncates (DJL's default cuts
 * texts after 512 tokens) nor pads, looks for no cloud metadata host, reports no usage and
 * downloads nothing.
 */
final class NativeTokenizer implements AutoCloseable {
  private static final List<String> COMPONENTS =
      List.of("normalizer", "pre_tokenizer", "post_processor", "decoder");

  /** Version of the Rust library {@code tokenizers} that DJL's native library contains. */
  static final String LIBRARY_VERSION = "0.21.4";

  private static final Map<String, String> OPTIONS =
      Map.of("truncation", "false", "padding", "false", "addSpecialTokens", "false");

  private final HuggingFaceTokenizer tokenizer;

  private NativeTokenizer(HuggingFaceTokenizer tokenizer) {
    this.tokenizer = tokenizer;
  }

  /** Loads the text of a {@code tokenizer.json}, or throws the library's own words. */
  static NativeTokenizer load(String json) {
    try (ByteArrayInputStream bytes =
        new ByteArrayInputStream(json.getBytes(StandardCharsets.UTF_8))) {
      return OfflineDjl.call(
          () -> new NativeTokenizer(HuggingFaceTokenizer.newInstance(bytes, OPTIONS)));
    } catch (Exception e) {
      throw new CheckpointException.Tokenizer(String.valueOf(e.getMessage()), e);
    }
  }

  /** Encodes text; lone surrogates, which no UTF-8 text can hold, are replaced. */
  int[] encode(String text, boolean addSpecialTokens) {
    String valid = new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
    long[] ids = tokenizer.encode(valid, addSpecialTokens, false).getIds();
    return Arrays.stream(ids).mapToInt(Math::toIntExact).toArray();
  }

  /** Decodes ids; the library leaves out ids that it does not know. */
  String decode(int[] ids, boolean skipSpecialTokens) {
    return tokenizer.decode(Arrays.stream(ids).asLongStream().toArray(), skipSpecialTokens);
  }

  @Override
  public void close() {
    tokenizer.close();
  }

  /** Loads a tokenizer, or says which part of it the library refuses. */
  static NativeTokenizer load(TokenizerJson json) {
    try {
      return load(json.text());
    } catch (CheckpointException.Tokenizer e) {
      throw new CheckpointException.Tokenizer(
          "%s: the bundled tokenizers library %s refuses the part '%s': %s. Download the model again, or convert its tokenizer with a version of transformers that writes what this library reads."
              .formatted(json.origin(), LIBRARY_VERSION, refusedPart(json.root()), e.getMessage()),
          e);
    }
  }

  /** The library names no part in its message, so each is tried alone beside a tiny model. */
  private static String refusedPart(ObjectNode root) {
    for (String component : COMPONENTS) {
      ObjectNode part = JsonNodeFactory.instance.objectNode().put("version", "1.0");
      ObjectNode model = part.putObject("model").put("type", "WordLevel").put("unk_token", "a");
      model.putObject("vocab").put("a", 0);
      part.set(component, root.path(component));
      try {
        load(part.toString()).close();
      } catch (CheckpointException.Tokenizer refused) {
        return component;
      }
    }
    return "model";
  }
}
