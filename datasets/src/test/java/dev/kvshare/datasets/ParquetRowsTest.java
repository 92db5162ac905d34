package dev.kvshare.datasets;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Files by pyarrow and the datasets library: see src/test/python/make_parquet_cases.py. */
class ParquetRowsTest {
  private static final Path FILES =
      Path.of(System.getProperty("kvshare.root"), "datasets/src/test/resources/parquet");
  private static final ObjectMapper JSON = new ObjectMapper();

  private static byte[] bytes(String name) throws IOException {
    return Files.readAllBytes(FILES.resolve(name));
  }

  private static List<JsonNode> values(String name) {
    return JsonRows.read(ByteSource.ofFile(FILES.resolve(name))).rows().stream()
        .map(JsonRows.Row::value)
        .toList();
  }

  private static String refusal(String name, byte[] content) {
    return assertThrows(DatasetException.class, () -> JsonRows.read(name, content)).getMessage();
  }

  @ParameterizedTest
  @ValueSource(strings = {"none", "snappy", "zstd", "gzip", "lz4", "pages-2", "groups", "hub"})
  void rowsAreWhatJsonLinesWouldHold(String name) throws IOException {
    // As text, since 1 and 1L are different numbers to Jackson.
    assertEquals(
        JSON.readTree(bytes("rows.json")).toPrettyString(),
        JSON.valueToTree(values(name + ".parquet")).toPrettyString());
  }

  @Test
  void mapsAreObjects() {
    assertEquals(
        "[{\"map\":{\"a\":1,\"b\":null}},{\"map\":{}},{\"map\":null}]",
        JSON.valueToTree(values("maps.parquet")).toString());
  }

  @Test
  void rowsAreCountedForMessages() throws IOException {
    JsonRows rows = JsonRows.read("x.parquet", bytes("snappy.parquet"));

    assertEquals("Row 40 of x.parquet", rows.rows().get(39).where());
    assertEquals(ByteSource.sha256(bytes("snappy.parquet")), rows.sha256());
  }

  @Test
  void aColumnIsAText() {
    Datasets datasets = new Datasets(FILES.resolve("none"));
    String file = FILES.resolve("text.parquet").toString();

    Corpus.Text text = (Corpus.Text) datasets.resolve(file, null, System.in).load();
    Corpus.Tokens ids = (Corpus.Tokens) datasets.resolve(file, "input_ids", System.in).load();

    assertEquals(
        List.of("The first paragraph.", "The second one, größer.", "A third."), text.paragraphs());
    assertEquals(3, ids.sequences().size());
    assertEquals(
        "Row 1 of text.parquet has nothing in the field body, expected a string or an array of token ids. Its fields are text, input_ids; name another one with --field.",
        assertThrows(DatasetException.class, () -> datasets.resolve(file, "body", System.in).load())
            .getMessage());
  }

  @Test
  void compressionsThatAreNotReadAreNamed() throws IOException {
    assertEquals(
        "The Parquet file b is compressed by brotli, which is not read here. Write it with snappy, zstd, gzip or lz4, for example with Python: pandas.read_parquet(FILE).to_parquet(\"items.parquet\").",
        refusal("b", bytes("brotli.parquet")));
  }

  @Test
  void whatUnpacksToMoreThanATextMayHaveIsRefused() throws IOException {
    byte[] small = bytes("large.parquet");

    assertTrue(small.length < 10_000, small.length + " bytes");
    assertEquals(
        "The Parquet file large holds more than 256 MiB when it is unpacked. Give a part of it.",
        refusal("large", small));
  }

  @Test
  void filesThatWereCutOffAreRefused() throws IOException {
    byte[] whole = bytes("zstd.parquet");

    assertEquals(
        "The Parquet file cut is damaged or incomplete: it has 1000 bytes and ends without PAR1. Download it again.",
        refusal("cut", Arrays.copyOf(whole, 1000)));
    for (int length = 4; length < whole.length; length += 97) {
      ByteArrayOutputStream ended = new ByteArrayOutputStream();
      ended.write(whole, 0, length);
      ended.write("PAR1".getBytes(StandardCharsets.US_ASCII));
      String message = refusal("cut", ended.toByteArray());
      assertTrue(message.startsWith("The Parquet file cut is damaged or incomplete: "), message);
    }
  }

  /** Each change is refused in words, or leaves a file that can be read. */
  @ParameterizedTest
  @ValueSource(strings = {"none", "snappy", "zstd", "gzip", "lz4", "pages-2", "maps"})
  void changedBytesDoNoHarm(String name) throws IOException {
    byte[] whole = bytes(name + ".parquet");
    Random random = new Random(5);
    int refused = 0;
    for (int round = 0; round < 300; round++) {
      byte[] changed = whole.clone();
      int changes = 1 + random.nextInt(3);
      // Half of the changes go to the footer, where sizes and offsets are.
      int from = random.nextBoolean() ? 4 : whole.length * 3 / 4;
      for (int i = 0; i < changes; i++) {
        changed[from + random.nextInt(whole.length - 4 - from)] = (byte) random.nextInt(256);
      }
      try {
        JsonRows.read("changed", changed);
      } catch (DatasetException e) {
        refused++;
        assertTrue(e.getMessage().startsWith("The Parquet file changed "), e.getMessage());
      }
    }
    assertTrue(refused > 100, "only " + refused + " were refused");
  }
}
