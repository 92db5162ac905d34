package dev.kvshare.apply.model.storage;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.CheckpointException;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * Reads JSON and accepts nothing else: UTF-8 only, limited in size and depth, each key of an object
 * once, nothing behind the document.
 */
public final class JsonFiles {
  private static final int MAX_DEPTH = 64;
  private static final long MAX_BYTES = 64L << 20;

  private static final JsonMapper MAPPER =
      JsonMapper.builder(
              JsonFactory.builder()
                  .streamReadConstraints(
                      StreamReadConstraints.builder().maxNestingDepth(MAX_DEPTH).build())
                  .build())
          .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          // Python's json module writes infinite numbers in this form.
          .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .build();

  /** Keeps numbers as they are written, and knows no infinite ones. */
  private static final JsonMapper EXACT =
      MAPPER
          .rebuild()
          .disable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
          .build();

  private static final int MAX_EXPONENT = 400;

  private static final ObjectReader VALUES =
      MAPPER.reader().without(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private JsonFiles() {}

  /** A document that is no JSON; the message says where and why, as the end of a sentence. */
  public static final class MalformedException extends Exception {
    private static final long serialVersionUID = 1L;

    MalformedException(String message) {
      super(message);
    }
  }

  /**
   * Reads one document whose numbers keep their digits; a byte-order mark before it is passed over.
   */
  public static JsonNode parseExactly(byte[] bytes) throws MalformedException {
    ByteBuffer source = ByteBuffer.wrap(bytes);
    CharBuffer decoded = CharBuffer.allocate(bytes.length + 1);
    if (StandardCharsets.UTF_8.newDecoder().decode(source, decoded, true).isError()) {
      throw new MalformedException(
          "invalid UTF-8 at byte %d (0x%02x)"
              .formatted(source.position(), bytes[source.position()]));
    }
    String text = decoded.flip().toString();
    try {
      JsonNode document = EXACT.readTree(text.substring(text.startsWith("\uFEFF") ? 1 : 0));
      checkExponents(document, "$");
      return document;
    } catch (JsonProcessingException e) {
      throw new MalformedException(describe(e, text, 0));
    } catch (NumberFormatException e) {
      throw new MalformedException("a number out of range: " + e.getMessage());
    }
  }

  /** Refuses numbers whose expansion would not fit in memory, such as 1e999999999. */
  private static void checkExponents(JsonNode node, String path) throws MalformedException {
    if (node.isBigDecimal()) {
      BigDecimal value = node.decimalValue();
      long exponent = (long) value.precision() - value.scale();
      if (Math.abs(exponent) > MAX_EXPONENT) {
        throw new MalformedException(
            "a number out of range at %s: its exponent is %d, the limit is %d"
                .formatted(path, exponent, MAX_EXPONENT));
      }
    }
    for (Map.Entry<String, JsonNode> field : node.properties()) {
      checkExponents(field.getValue(), path + "." + field.getKey());
    }
    for (int i = 0; node.isArray() && i < node.size(); i++) {
      checkExponents(node.get(i), path + "[" + i + "]");
    }
  }

  /** A parser with these limits, for a text that is read value by value. */
  public static JsonParser parser(String text) throws IOException {
    return MAPPER.createParser(text);
  }

  /** Reads the value that the parser stands at. */
  public static JsonNode readValue(JsonParser parser) throws IOException {
    return VALUES.readTree(parser);
  }

  /** Reads one document, or the words of a line of one. */
  public static JsonNode parse(String text) throws MalformedException {
    try {
      return MAPPER.readTree(text);
    } catch (JsonProcessingException e) {
      throw new MalformedException(describe(e, text, 0));
    }
  }

  /** Reads a file that holds one JSON object; an exception names file, byte and reason. */
  public static ObjectNode readObject(Path file) {
    return readObject(file, MAX_BYTES);
  }

  /** The same of a file of at most {@code maxBytes}. */
  public static ObjectNode readObject(Path file, long maxBytes) {
    String text = decode(file, bytes(file, maxBytes), 0);
    String foreign = ModelFile.foreignContent(text);
    if (foreign != null) {
      throw new CheckpointException.Corrupt(file + ": " + foreign);
    }
    try {
      JsonNode node = MAPPER.readTree(text);
      if (node instanceof ObjectNode object) {
        return object;
      }
      throw new CheckpointException.Corrupt(
          "%s: a JSON object is expected, but the file holds %s. Download the file again."
              .formatted(file, node.isMissingNode() ? "nothing" : "a JSON " + node.getNodeType()));
    } catch (JsonProcessingException e) {
      throw new CheckpointException.Corrupt(
          file + ": " + describe(e, text, 0) + ". Correct it or download the file again.", e);
    }
  }

  /** Decodes UTF-8 and refuses everything else; {@code base} is where the bytes begin. */
  public static String decode(Path file, byte[] bytes, long base) {
    ByteBuffer source = ByteBuffer.wrap(bytes);
    CharBuffer text = CharBuffer.allocate(bytes.length);
    CoderResult result = StandardCharsets.UTF_8.newDecoder().decode(source, text, true);
    if (result.isError()) {
      throw new CheckpointException.Corrupt(
          "%s: invalid UTF-8 at byte %s: JSON in UTF-8 is expected there. The file is damaged or of another kind; download it again."
              .formatted(file, base + source.position()));
    }
    return text.flip().toString();
  }

  /** Says where and why a text is no valid JSON; {@code base} is its offset in the file. */
  public static String describe(JsonProcessingException e, String text, long base) {
    long character = e.getLocation() == null ? 0 : Math.max(0, e.getLocation().getCharOffset());
    String before = text.substring(0, (int) Math.min(character, text.length()));
    long offset = base + before.getBytes(StandardCharsets.UTF_8).length;
    return "invalid JSON at byte " + offset + ": " + reason(e);
  }

  /** What is wrong, without the names that the library has for it. */
  private static String reason(JsonProcessingException e) {
    String message = e.getOriginalMessage().lines().findFirst().orElse("");
    if (message.startsWith("Duplicate field")) {
      return "the key "
          + message.replaceAll("^Duplicate field ('.*?').*", "$1")
          + " is there twice";
    }
    if (e instanceof StreamConstraintsException) {
      return message.contains("nesting")
          ? "it is nested deeper than " + MAX_DEPTH + " levels"
          : "a number, a text or a key is too long";
    }
    if (message.startsWith("Trailing token")) {
      return "something follows the value";
    }
    return message.replaceAll("[:,]? \\(?[^:(]*(`|Feature|\\[Source).*", "").replaceAll("\\.$", "");
  }

  private static byte[] bytes(Path file, long maxBytes) {
    try {
      long size = Files.size(file);
      if (size > maxBytes || !Files.isRegularFile(file)) {
        throw new CheckpointException.Corrupt(
            "%s: an ordinary file of at most %s bytes is expected, not %s. Download the file again."
                .formatted(file, maxBytes, size > maxBytes ? size : "a pipe or device"));
      }
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw ModelFile.failure(file, e);
    }
  }
}
