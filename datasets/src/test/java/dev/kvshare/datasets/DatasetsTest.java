package dev.kvshare.datasets;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DatasetsTest {
  @TempDir Path folder;

  private Datasets datasets() {
    return new Datasets(folder.resolve("cache"));
  }

  private static InputStream noInput() {
    return InputStream.nullInputStream();
  }

  private Path file(String name, String text) throws IOException {
    return Files.writeString(folder.resolve(name), text);
  }

  private static Dataset.Import request(String name, Path file) {
    return new Dataset.Import(name, file, null, "A tale.", "CC0-1.0", false);
  }

  private static void assertMessage(String fragment, Runnable action) {
    String message = assertThrows(DatasetException.class, action::run).getMessage();
    assertTrue(message.contains(fragment), message);
  }

  @Test
  void describesTheBuiltInTexts() {
    List<Dataset> list = datasets().list();

    assertEquals(
        List.of(
            "parlour-calibration",
            "parlour-evaluation",
            "reference-calibration",
            "general-calibration"),
        list.stream().map(Dataset::name).toList());
    for (Dataset dataset : list) {
      assertTrue(dataset.builtIn());
      assertTrue(dataset.licence().contains("Apache-2.0"));
      assertTrue(Corpus.Summary.of(datasets().find(dataset.name()).load()).units() >= 30);
    }
  }

  @Test
  void theDefaultTextsDoNotOverlap() {
    Corpus calibration = datasets().find(Datasets.DEFAULT_CALIBRATION).load();
    Corpus evaluation = datasets().find(Datasets.DEFAULT_EVALUATION).load();

    assertEquals(0, TextOverlap.fraction(calibration, evaluation), 0.01);
  }

  @Test
  void theReferenceTextIsTheOneOfTheReferenceResults() {
    assertTrue(datasets().find("reference-calibration").dataset().sha256().startsWith("5086175c"));
  }

  @Test
  void importsFindsAndRemoves() throws IOException {
    Dataset imported =
        datasets().importText(request("my-tale", file("tale.txt", "Once upon a time.\n")));

    assertEquals("A tale.", imported.description());
    assertEquals("CC0-1.0", imported.licence());
    assertFalse(imported.builtIn());
    Corpus.Text text = (Corpus.Text) datasets().find("my-tale").load();
    assertEquals("Once upon a time.\n", text.text());
    assertEquals("my-tale", text.name());
    assertEquals(imported.sha256(), text.sha256());
    assertEquals(imported, datasets().list().get(4));

    datasets().remove("my-tale");
    assertMessage("There is no data set \"my-tale\"", () -> datasets().find("my-tale"));
    try (var entries = Files.list(datasets().folder())) {
      assertEquals(List.of(), entries.toList());
    }
  }

  @Test
  void importsJsonLines() throws IOException {
    Path lines = file("ids.jsonl", "{\"ids\": [4, 5]}\n");
    assertMessage("--field", () -> datasets().importText(request("ids", lines)));
    datasets().importText(new Dataset.Import("ids", lines, "ids", "", null, false));

    TextSource.Named named = datasets().find("ids");
    assertNull(named.dataset().licence());
    assertArrayEquals(new int[] {4, 5}, ((Corpus.Tokens) named.load()).sequences().get(0));
  }

  @Test
  void replacesOnlyWhenAsked() throws IOException {
    datasets().importText(request("tale", file("one.txt", "One.")));
    Path other = file("two.txt", "Two.");
    assertMessage(
        "There is already a data set tale", () -> datasets().importText(request("tale", other)));

    datasets().importText(new Dataset.Import("tale", other, null, "", null, true));
    assertEquals("Two.", ((Corpus.Text) datasets().find("tale").load()).text());
  }

  @Test
  void refusesWhatCannotBeImported() throws IOException {
    assertMessage("is not usable", () -> request("../x", Path.of("x")));
    Path blank = file("blank.txt", " \n \n");
    assertMessage("nothing but blanks", () -> datasets().importText(request("blank", blank)));
    assertMessage(
        "belongs to a built-in data set",
        () -> datasets().importText(request("parlour-evaluation", blank)));
    assertMessage("cannot be removed", () -> datasets().remove("parlour-evaluation"));
    assertEquals(4, datasets().list().size());
  }

  @Test
  void noticesAChangedDataSetAndABadManifest() throws IOException {
    datasets().importText(request("tale", file("one.txt", "One.")));
    Path dataset = datasets().folder().resolve("tale");
    Files.writeString(dataset.resolve("data"), "Two.");
    assertMessage("has changed since it was imported", () -> datasets().find("tale").load());

    Files.writeString(dataset.resolve("manifest.json"), "{");
    assertMessage("is not valid JSON", () -> datasets().list());
    Files.writeString(dataset.resolve("manifest.json"), "{\"schema\": \"kvshare.dataset/2\"}");
    assertMessage("expected \"kvshare.dataset/1\"", () -> datasets().list());
  }

  @Test
  void resolvesFilesNamesAndStandardInput() throws IOException {
    Path plain = file("a.txt", "{\"text\": \"One.\"}\n");
    Path lines = file("a.jsonl", "{\"text\": \"One.\"}\n");
    InputStream input = new ByteArrayInputStream("Two.".getBytes(StandardCharsets.UTF_8));

    assertInstanceOf(TextSource.Plain.class, datasets().resolve(plain.toString(), null, noInput()));
    assertInstanceOf(
        TextSource.Rows.class, datasets().resolve(plain.toString(), "text", noInput()));
    assertInstanceOf(TextSource.Rows.class, datasets().resolve(lines.toString(), null, noInput()));
    Path array = file("a.json", "[{\"text\": \"One.\"}]");
    assertInstanceOf(TextSource.Rows.class, datasets().resolve(array.toString(), null, noInput()));
    assertEquals("a.txt", datasets().resolve(plain.toString(), null, noInput()).name());
    assertEquals("Two.", ((Corpus.Text) datasets().resolve("-", null, input).load()).text());
    assertInstanceOf(
        TextSource.Named.class, datasets().resolve("parlour-evaluation", null, noInput()));
    assertMessage(
        "one of the data sets parlour-calibration, ",
        () -> datasets().resolve("no/such.txt", null, noInput()));
  }

  @Test
  void keepsImportsWhereTheEnvironmentSays() {
    assertEquals(
        Path.of("/srv/kv/datasets"), Datasets.ofUser(Map.of("KVSHARE_HOME", "/srv/kv")).folder());
    assertTrue(Datasets.ofUser(Map.of()).folder().endsWith(".cache/kvshare/datasets"));
  }
}
