package dev.kvshare.datasets;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/** Strict decoding of UTF-8 text, and its paragraphs. */
final class PlainText {
  /** Longest line, in bytes: a longer one is a sign of something that is not text. */
  static final int MAX_LINE_BYTES = 16 << 20;

  private PlainText() {}

  /** Returns the text without a byte order mark; refuses what is not UTF-8 and long lines. */
  static String decode(byte[] bytes, String name) {
    checkLines(bytes, name);
    ByteBuffer in = ByteBuffer.wrap(bytes);
    CharBuffer out = CharBuffer.allocate(bytes.length);
    CoderResult result = StandardCharsets.UTF_8.newDecoder().decode(in, out, true);
    if (result.isError()) {
      int offset = in.position();
      long line = 1 + IntStream.range(0, offset).filter(i -> bytes[i] == '\n').count();
      throw new DatasetException(
          "The text %s is not UTF-8: the byte 0x%02x at offset %d (line %d) cannot be decoded. %s"
              .formatted(name, bytes[offset], offset, line, remedy(bytes)));
    }
    refuseBinary(bytes, name);
    String text = out.flip().toString();
    return text.startsWith("\uFEFF") ? text.substring(1) : text;
  }

  /** A byte 0 is valid UTF-8, but stands in no text: in UTF-16 without a mark it is every other. */
  private static void refuseBinary(byte[] bytes, String name) {
    long zeros = 0;
    int first = -1;
    for (int i = 0; i < bytes.length; i++) {
      if (bytes[i] == 0) {
        first = first < 0 ? i : first;
        zeros++;
      }
    }
    if (zeros > 0) {
      boolean wide = zeros > bytes.length / 4;
      throw new DatasetException(
          "The text %s is no text: it has %d bytes 0, the first at offset %d. %s"
              .formatted(
                  name,
                  zeros,
                  first,
                  wide
                      ? "It looks like UTF-16: convert it with `iconv -f UTF-16%s -t UTF-8 FILE`."
                          .formatted(first == 0 ? "BE" : "LE")
                      : "Give a text in UTF-8."));
    }
  }

  private static void checkLines(byte[] bytes, String name) {
    int start = 0;
    int line = 1;
    for (int i = 0; i < bytes.length; i++) {
      if (bytes[i] == '\n') {
        start = i + 1;
        line++;
      } else if (i - start >= MAX_LINE_BYTES) {
        throw new DatasetException(
            "Line %d of the text %s has more than %d MiB. Break it into paragraphs."
                .formatted(line, name, MAX_LINE_BYTES >> 20));
      }
    }
  }

  private static String remedy(byte[] bytes) {
    int start = bytes.length < 2 ? 0 : ((bytes[0] & 0xff) << 8) | (bytes[1] & 0xff);
    return switch (start) {
      case 0x1f8b -> "It looks like a gzip file: unpack it first.";
      case 0xfffe, 0xfeff ->
          "It looks like UTF-16: convert it with `iconv -f UTF-16 -t UTF-8 FILE`.";
      default -> "Convert it, for example with `iconv -f ISO-8859-1 -t UTF-8 FILE`.";
    };
  }

  /**
   * Returns the paragraphs of {@code text}, none blank: what blank lines separate, or, if no blank
   * line stands between other lines, each line. Blanks before the first character of a paragraph
   * are kept, those behind its last one are not.
   */
  static List<String> paragraphs(String text) {
    List<String> lines = text.lines().toList();
    List<String> paragraphs = new ArrayList<>();
    List<String> current = new ArrayList<>();
    for (String line : lines) {
      if (!line.isBlank()) {
        current.add(line);
      } else if (!current.isEmpty()) {
        paragraphs.add(String.join("\n", current).stripTrailing());
        current.clear();
      }
    }
    if (!current.isEmpty()) {
      paragraphs.add(String.join("\n", current).stripTrailing());
    }
    boolean separatedByBlankLines = paragraphs.size() > 1;
    return separatedByBlankLines
        ? paragraphs
        : lines.stream().filter(line -> !line.isBlank()).map(String::stripTrailing).toList();
  }
}
