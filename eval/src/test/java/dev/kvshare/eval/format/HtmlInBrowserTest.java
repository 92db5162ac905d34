package dev.kvshare.eval.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.eval.format.Chart.Kind;
import dev.kvshare.eval.format.Chart.Point;
import dev.kvshare.eval.format.Chart.Series;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Opens pages in a headless Chromium, narrow and wide, light and dark. Without Chromium the tests
 * are counted as skipped. Pages that were written before are checked as well by {@code
 * -Dkvshare.pages=FILE:FILE}.
 */
@Tag("browser")
class HtmlInBrowserTest {
  private static final List<Integer> WIDTHS = List.of(390, 1040);
  private static final List<String> NAMES =
      List.of("chromium", "chromium-browser", "google-chrome", "chrome");

  @TempDir Path folder;

  /** Curves of more policies than there are colours, with long names, and every other picture. */
  private static String page() {
    List<Series> curves = new ArrayList<>();
    List<List<String>> cells = new ArrayList<>();
    cells.add(
        List.of(
            "policy", "context", "sequences", "KV cache", "prefill tokens/s", "decode tokens/s"));
    for (int policy = 0; policy < 8; policy++) {
      int number = policy;
      String name =
          "policies/smollm2-135m-instruct-windows-keep-%d0-percent.json".formatted(policy);
      curves.add(
          new Series(
              name,
              IntStream.rangeClosed(9, 14)
                  .mapToObj(i -> new Point(1 << i, 60 - 3.0 * i + number, 0))
                  .toList()));
      cells.add(List.of(name, "16,384", "7 in budget", "1024.0 MiB", "12,345", "1,234"));
    }
    List<Series> bars =
        curves.stream().map(each -> Chart.bar(each.name() + ", 7 sequences", 51.2, 0)).toList();
    String sentence =
        "policies/smollm2-135m-instruct-windows-keep-50-percent.json, measured at 512 and 8,192 tokens. Decoding one sequence: faster from about 3,100 tokens on; below that it does not pay in time.";
    return new Report(
            cells,
            List.of(),
            Report.newRow()
                .set(
                    "run",
                    Report.newRow().put("command", "kvshare eval " + "x".repeat(200)).put("a", 1)),
            List.of(sentence),
            List.of("Beware of " + "y".repeat(100)),
            List.of(
                chart("Decoding one sequence", Kind.CURVES, curves),
                chart("Along the text", Kind.LINES, curves),
                chart("What is kept", Kind.POINTS, curves.subList(0, 3)),
                chart("In one KV budget", Kind.BARS, bars)))
        .html();
  }

  private static Chart chart(String title, Kind kind, List<Series> series) {
    return new Chart(title, "How to read it.", kind, "context, tokens", "tokens a second", series);
  }

  @ParameterizedTest
  @ValueSource(strings = {"light", "dark"})
  void pagesCanBeReadNarrowAndWide(String scheme) throws IOException, InterruptedException {
    Optional<Path> browser = browser();
    assumeTrue(browser.isPresent(), "no Chromium on the PATH: " + NAMES);
    Map<String, String> pages = new LinkedHashMap<>();
    pages.put("generated", page());
    for (String file : System.getProperty("kvshare.pages", "").split(File.pathSeparator, -1)) {
      if (!file.isEmpty()) {
        pages.put(file, Files.readString(Path.of(file)));
      }
    }
    for (JsonNode found : measure(browser.get(), scheme, pages)) {
      String where = found.get("page").asText() + ", " + scheme + ", " + found.get("width");
      assertEquals(scheme.equals("dark"), found.get("dark").asBoolean(), where);
      assertTrue(found.get("texts").asInt() > 20, where);
      assertTrue(found.get("pictures").asInt() > 0, where);
      assertEquals("[]", found.get("wide").toString(), where + ": beyond the right edge");
      assertEquals("[]", found.get("cut").toString(), where + ": cut off");
      assertEquals("[]", found.get("faint").toString(), where + ": text of low contrast");
      if (pages.get(found.get("page").asText()).contains("\"kvshare eval\"")) {
        assertEquals("[]", found.get("untold").toString(), where + ": pictures without numbers");
      }
    }
  }

  private static Optional<Path> browser() {
    return Stream.of(System.getenv().getOrDefault("PATH", "").split(File.pathSeparator, -1))
        .flatMap(folder -> NAMES.stream().map(name -> Path.of(folder, name)))
        .filter(Files::isExecutable)
        .findFirst();
  }

  private List<JsonNode> measure(Path browser, String scheme, Map<String, String> pages)
      throws IOException, InterruptedException {
    StringBuilder frames = new StringBuilder();
    for (Map.Entry<String, String> page : pages.entrySet()) {
      for (int width : WIDTHS) {
        frames
            .append(
                "<iframe scrolling=\"no\" data-page=\"%s\" width=\"%d\" height=\"900\" srcdoc=\""
                    .formatted(escaped(page.getKey()), width))
            .append(escaped(page.getValue()))
            .append("\"></iframe>\n");
      }
    }
    Path file =
        Files.writeString(
            folder.resolve("pages.html"),
            "<!DOCTYPE html><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">"
                + "<style>iframe { border: 0; color-scheme: light dark }</style>"
                + frames
                + "<pre id=\"found\"></pre><script>"
                + SCRIPT
                + "</script>");
    Path out = folder.resolve("dom.html");
    Process process =
        new ProcessBuilder(
                browser.toString(),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--user-data-dir=" + folder.resolve("profile"),
                "--blink-settings=preferredColorScheme=" + (scheme.equals("dark") ? 0 : 1),
                "--dump-dom",
                file.toUri().toString())
            .redirectOutput(out.toFile())
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    if (!process.waitFor(5, TimeUnit.MINUTES)) {
      process.destroyForcibly();
      throw new IOException(browser + " did not end");
    }
    String dom = Files.readString(out);
    int start = dom.lastIndexOf("<pre id=\"found\">") + "<pre id=\"found\">".length();
    String json = dom.substring(start, dom.indexOf("</pre>", start));
    JsonNode found =
        new ObjectMapper()
            .readTree(json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"));
    assertEquals(pages.size() * WIDTHS.size(), found.size(), json);
    List<JsonNode> all = new ArrayList<>();
    found.forEach(all::add);
    return all;
  }

  private static String escaped(String html) {
    return html.replace("&", "&amp;").replace("\"", "&quot;");
  }

  /**
   * Says of each frame what is wider than it, what is cut off inside, what has too little contrast
   * (below 4.5, WCAG 2.1, 1.4.3), and which pictures have no table behind them.
   */
  private static final String SCRIPT =
      """
      function channel(v) { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }
      function luminance(c) { return 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]); }
      function rgb(text) { return text.match(/[0-9.]+/g).map(Number); }
      function behind(element, view) {
        const shape = element.tagName === 'text' && element.previousElementSibling;
        const on = shape && /circle|rect/.test(shape.tagName) && inside(element, shape);
        if (on && view.getComputedStyle(shape).fill.startsWith('rgb')) return rgb(view.getComputedStyle(shape).fill);
        for (let e = element; e; e = e.parentElement) {
          const c = rgb(view.getComputedStyle(e).backgroundColor);
          if (c.length === 3 || c[3] > 0) return c;
        }
        return [255, 255, 255];
      }
      function inside(text, shape) {
        const a = text.getBoundingClientRect(), b = shape.getBoundingClientRect();
        return (a.left + a.right) / 2 > b.left && (a.left + a.right) / 2 < b.right
            && (a.top + a.bottom) / 2 > b.top && (a.top + a.bottom) / 2 < b.bottom;
      }
      function ownText(e) { return [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join('').trim(); }
      function name(e) { return e.tagName + ' ' + (e.getAttribute('class') || '') + ' ' + e.textContent.trim().slice(0, 40); }
      function measured(frame) {
        const page = frame.contentDocument, view = frame.contentWindow;
        page.querySelectorAll('details').forEach(d => d.open = true);
        const all = [...page.body.querySelectorAll('*')].filter(e => e.tagName !== 'TITLE' && e.tagName !== 'title');
        const edge = page.documentElement.clientWidth;
        const texts = all.filter(e => ownText(e) && e.getClientRects().length);
        const faint = texts.filter(e => {
          const style = view.getComputedStyle(e);
          const a = luminance(rgb(e.namespaceURI.endsWith('svg') ? style.fill : style.color));
          const b = luminance(behind(e, view));
          return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
        });
        function scrolls(e) { return /auto|scroll/.test(view.getComputedStyle(e).overflowX); }
        function inScroller(e) { return e && (scrolls(e) || inScroller(e.parentElement)); }
        const wide = all.filter(e => e.getBoundingClientRect().right > edge + 0.5 && !inScroller(e.parentElement));
        const cut = all.filter(e => view.getComputedStyle(e).overflowX === 'hidden' && e.scrollWidth > e.clientWidth + 1
            && e.tagName !== 'svg');
        const untold = [...page.querySelectorAll('svg')].filter(e => !e.closest('section') || !e.closest('section').querySelector('table'));
        if (page.documentElement.scrollWidth > edge) wide.push(page.documentElement);
        return {page: frame.dataset.page, width: edge, dark: view.matchMedia('(prefers-color-scheme: dark)').matches,
          texts: texts.length, pictures: page.querySelectorAll('svg').length,
          wide: wide.map(name), cut: cut.map(name), faint: faint.map(name), untold: untold.map(name)};
      }
      addEventListener('load', () => {
        document.getElementById('found').textContent = JSON.stringify([...document.querySelectorAll('iframe')].map(measured));
      });
      """;
}
