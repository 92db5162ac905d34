package dev.kvshare.datasets;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class TextSourceTest {
  @TempDir Path folder;

  private static ByteSource bytes(String text) {
    return ByteSource.ofBytes("t", text.getBytes(StandardCharsets.UTF_8));
  }

  private static Corpus.Text plain(String text) {
    return (Corpus.Text) new TextSource.Plain(bytes(text)).load();
  }

  private static Corpus jsonLines(String text, String field) {
    return new TextSource.Rows(bytes(text), field).load();
  }

  @Test
  void linesAreParagraphsWithoutBlankLinesBetween() {
    Corpus.Text text = plain("One.\r\n  Two. \n\n");

    assertEquals(List.of("One.", "  Two."), text.paragraphs());
    assertEquals("One.\r\n  Two. \n\n", text.text());
  }

  @Test
  void blankLinesSeparateParagraphs() {
    assertEquals(
        List.of("One\nmore.", "Two.", "Three."),
        plain("\nOne\nmore.\n \nTwo.\n\n\nThree.").paragraphs());
  }

  @Test
  void markupIsText() {
    assertEquals(List.of("# <b>One</b> &amp;"), plain("# <b>One</b> &amp;\n").paragraphs());
  }

  @Test
  void dropsAByteOrderMarkAndHashesTheBytes() {
    Corpus.Text text = plain("\uFEFFabc");

    assertEquals("abc", text.text());
    assertEquals(ByteSource.sha256("\uFEFFabc".getBytes(StandardCharsets.UTF_8)), text.sha256());
    assertEquals(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", plain("abc").sha256());
  }

  @Test
  void readsAStreamUnderItsName() {
    ByteSource source =
        ByteSource.ofStream(
            "standard input", new ByteArrayInputStream("abc".getBytes(StandardCharsets.UTF_8)));

    assertEquals("standard input", new TextSource.Plain(source).load().name());
  }

  @Test
  void namesTheFirstByteThatIsNotUtf8() {
    byte[] latin = "ab\nc\u00e9d".getBytes(StandardCharsets.ISO_8859_1);
    DatasetException error =
        assertThrows(
            DatasetException.class,
            () -> new TextSource.Plain(ByteSource.ofBytes("t", latin)).load());

    assertEquals(
        "The text t is not UTF-8: the byte 0xe9 at offset 4 (line 2) cannot be decoded."
            + " Convert it, for example with `iconv -f ISO-8859-1 -t UTF-8 FILE`.",
        error.getMessage());
  }

  @Test
  void recognisesGzipAndUtf16() {
    assertTrue(utf8Error((byte) 0x1f, (byte) 0x8b).contains("gzip"));
    assertTrue(utf8Error((byte) 0xff, (byte) 0xfe).contains("UTF-16"));
  }

  private static String utf8Error(byte... bytes) {
    return assertThrows(DatasetException.class, () -> PlainText.decode(bytes, "t")).getMessage();
  }

  @Test
  void refusesBytesThatStandInNoText() {
    assertTrue(
        utf8Error((byte) 'a', (byte) 0, (byte) 'b', (byte) 'c', (byte) 'd').contains("offset 1"));
    String text = "A text in sixteen bits.";
    assertTrue(utf8Error(text.getBytes(StandardCharsets.UTF_16LE)).contains("-f UTF-16LE"));
    assertTrue(utf8Error(text.getBytes(StandardCharsets.UTF_16BE)).contains("-f UTF-16BE"));
  }

  @Test
  void otherFieldsMayHoldWhatPythonWrites() {
    assertInstanceOf(
        Corpus.Text.class,
        jsonLines("{\"text\": \"One.\", \"x\": NaN, \"y\": [-Infinity], \"x\": 2}", null));
  }

  @Test
  void refusesALineWithoutEnd() {
    byte[] line = new byte[PlainText.MAX_LINE_BYTES + 3];
    Arrays.fill(line, (byte) 'a');
    line[1] = '\n';
    DatasetException error =
        assertThrows(DatasetException.class, () -> PlainText.decode(line, "t"));

    assertTrue(error.getMessage().startsWith("Line 2 of the text t has more than 16 MiB"));
  }

  @Test
  void refusesNothingMissingAndDirectories() {
    assertMessage("is empty: 0 bytes", () -> plain(""));
    assertMessage(
        "There is no text file",
        () -> new TextSource.Plain(ByteSource.ofFile(folder.resolve("no.txt"))).load());
    assertMessage("is a directory", () -> ByteSource.ofFile(folder));
  }

  private static void assertMessage(String fragment, Runnable action) {
    String message = assertThrows(DatasetException.class, action::run).getMessage();
    assertTrue(message.contains(fragment), message);
  }

  @Test
  void readsStringsOfAField() {
    Corpus.Text text =
        assertInstanceOf(
            Corpus.Text.class,
            jsonLines("{\"body\": \"One\\nmore.\", \"id\": 1}\n\n{\"body\": \"Two.\"}\n", "body"));

    assertEquals(List.of("One\nmore.", "Two."), text.paragraphs());
    assertEquals("One\nmore.\n\nTwo.", text.text());
  }

  @Test
  void readsTokenIdsAndNestedFields() {
    Corpus.Tokens tokens =
        assertInstanceOf(
            Corpus.Tokens.class,
            jsonLines(
                "{\"d\": {\"x\": [3, 0]}}\n{\"d\": {\"x\": []}}\n{\"d\": {\"x\": [7]}}", "/d/x"));

    assertEquals(2, tokens.sequences().size());
    assertArrayEquals(new int[] {3, 0}, tokens.sequences().get(0));
    assertArrayEquals(new int[] {7}, tokens.sequences().get(1));
  }

  @Test
  void findsTheUsualFields() {
    assertInstanceOf(Corpus.Text.class, jsonLines("{\"text\": \"One.\"}", null));
    assertInstanceOf(Corpus.Tokens.class, jsonLines("{\"id\": 1, \"input_ids\": [1]}", null));
  }

  @Test
  void readsTheEntriesOfAnArray() {
    Corpus.Text objects =
        (Corpus.Text) jsonLines(" [{\"text\": \"One.\"},\n{\"text\": \"Two.\"}]", null);
    Corpus.Text strings = (Corpus.Text) jsonLines("[\"One.\", \"Two.\"]", null);
    Corpus.Tokens ids = (Corpus.Tokens) jsonLines("[[1, 2], [3]]", null);

    assertEquals(List.of("One.", "Two."), objects.paragraphs());
    assertEquals(List.of("One.", "Two."), strings.paragraphs());
    assertArrayEquals(new int[] {1, 2}, ids.sequences().get(0));
  }

  static Stream<Arguments> badLines() {
    return Stream.of(
        Arguments.of("{\"text\": \"a\"}\nnot json", "text", "Line 2 of t is not valid JSON"),
        Arguments.of("3", "text", "Line 1 of t is a number, expected a JSON object"),
        Arguments.of("[1]", null, "Entry 1 of t is a number, expected a string or an array"),
        Arguments.of("[\"a\", [1]]", null, "Entry 2 of t is an array, expected a string like"),
        Arguments.of("[[1, true]]", null, "Entry 1 of t has true at index 1, expected a token id"),
        Arguments.of("[1]\n[2]", null, "The file t is not valid JSON"),
        Arguments.of("{\n\"text\": \"a\"}", null, "or one array in all"),
        Arguments.of(
            "PAR1\u0015", null, "The Parquet file t is damaged or incomplete: it has 5 bytes"),
        Arguments.of("{\"a\": 1, \"b\": 2}", null, "Its fields are a, b; name one with --field"),
        Arguments.of("{\"a\": 1}", "b", "has nothing in the field b"),
        Arguments.of(
            "{\"a\": 1}", "a", "has a number in the field a, expected a string or an array"),
        Arguments.of("{\"a\": \"x\"}\n{\"a\": [1]}", "a", "expected a string like the rows before"),
        Arguments.of("{\"a\": [1]}\n{\"a\": \"x\"}", "a", "expected an array of token ids like"),
        Arguments.of("{\"a\": [1, -2]}", "a", "has -2 at index 1 of the field a"),
        Arguments.of("{\"a\": [1.5]}", "a", "has 1.5 at index 0"),
        Arguments.of("{\"a\": [99999999999]}", "a", "has 99999999999 at index 0"),
        Arguments.of("{\"a\": \"x\", \"a\": \"y\"}", "a", "has the field a twice"),
        Arguments.of("{\"d\": {}, \"d\": {\"a\": \"x\"}}", "/d/a", "has the field d twice"),
        Arguments.of("{\"a\": []}\n{\"a\": []}", "a", "hold nothing in the field a"));
  }

  @ParameterizedTest
  @MethodSource("badLines")
  void namesTheBadLine(String text, String field, String fragment) {
    assertMessage(fragment, () -> jsonLines(text, field));
  }
}
