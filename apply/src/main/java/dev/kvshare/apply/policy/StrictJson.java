package dev.kvshare.apply.policy;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;

/**
 * Reads one JSON document and accepts nothing but that: UTF-8, no duplicate keys, nothing behind
 * the document, bounded depth and bounded exponents, numbers kept exactly.
 */
final class StrictJson {
  private static final int MAX_DEPTH = 64;
  private static final int MAX_EXPONENT = 400;

  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .disable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
          .build();

  static {
    MAPPER
        .getFactory()
        .setStreamReadConstraints(
            StreamReadConstraints.builder()
                .maxNestingDepth(MAX_DEPTH)
                .maxNumberLength(400)
                .build());
  }

  private StrictJson() {}

  /**
   * Reads the document in {@code bytes}.
   *
   * @param origin names the document in messages
   * @throws PolicyFormatException naming the byte offset, or line and column, of the first error
   */
  static JsonNode parse(byte[] bytes, String origin) {
    String text = decode(bytes, origin);
    try {
      JsonNode document = MAPPER.readTree(text);
      checkExponents(document, "$", origin);
      return document;
    } catch (JsonProcessingException e) {
      JsonLocation location = e.getLocation();
      String place =
          location == null
              ? ""
              : " at line %d, column %d".formatted(location.getLineNr(), location.getColumnNr());
      throw new PolicyFormatException(
          "%s is not valid JSON%s: %s. Correct the file, or write a new one with `kvshare calibrate`."
              .formatted(origin, place, e.getOriginalMessage()));
    } catch (NumberFormatException e) {
      throw new PolicyFormatException(
          "%s has a number out of range: %s. Correct the file, or write a new one with `kvshare calibrate`."
              .formatted(origin, e.getMessage()));
    }
  }

  private static String decode(byte[] bytes, String origin) {
    CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
    ByteBuffer in = ByteBuffer.wrap(bytes);
    CharBuffer out = CharBuffer.allocate(bytes.length + 1);
    CoderResult result = decoder.decode(in, out, true);
    if (result.isError()) {
      throw new PolicyFormatException(
          "%s is not UTF-8 text: the byte 0x%02x at offset %d cannot be decoded. Save the file as UTF-8."
              .formatted(origin, bytes[in.position()], in.position()));
    }
    String text = out.flip().toString();
    return text.startsWith("\uFEFF") ? text.substring(1) : text;
  }

  /** Refuses numbers whose expansion would not fit in memory, such as 1e999999999. */
  private static void checkExponents(JsonNode node, String path, String origin) {
    if (node.isBigDecimal()) {
      BigDecimal value = node.decimalValue();
      long exponent = (long) value.precision() - value.scale();
      if (Math.abs(exponent) > MAX_EXPONENT) {
        throw new PolicyFormatException(
            "%s has a number out of range at %s: its exponent is %d, the limit is %d."
                .formatted(origin, path, exponent, MAX_EXPONENT));
      }
    }
    node.properties()
        .forEach(field -> checkExponents(field.getValue(), path + "." + field.getKey(), origin));
    if (node.isArray()) {
      for (int i = 0; i < node.size(); i++) {
        checkExponents(node.get(i), path + "[" + i + "]", origin);
      }
    }
  }
}
