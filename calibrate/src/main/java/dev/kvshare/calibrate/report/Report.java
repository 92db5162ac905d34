package dev.kvshare.calibrate.report;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.calibrate.search.SearchSettings;
import freemarker.template.Configuration;
import freemarker.template.TemplateException;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Writes a calibration as one self-contained HTML page. */
public final class Report {
  /** The ending says that FreeMarker escapes every text for HTML. */
  private static final String TEMPLATE = "report.ftlh";

  /** What the template says of its origin in the head of the page. */
  private static final String MARK = "<meta name=\"generator\" content=\"kvshare calibrate\">";

  private static final int HEAD_BYTES = 4096;

  private static final ObjectMapper JSON = new ObjectMapper();

  private Report() {}

  /**
   * What the page is made of.
   *
   * @param policy as it was written
   * @param keep what was to be kept, in words
   * @param settings of the search
   * @param statistics of the unshared model
   * @param outcome the search in detail
   * @param summary the result in sentences
   * @param compared what each search found, a line each
   * @param work how much of the model was run, in words
   */
  public record Content(
      Policy policy,
      String keep,
      SearchSettings settings,
      KvStatistics statistics,
      SearchOutcome outcome,
      String summary,
      List<String> compared,
      String work) {}

  /** Writes the page in one step: never half of it. Equal results give equal bytes. */
  public static void write(Content content, Path file) {
    byte[] bytes = html(content).getBytes(StandardCharsets.UTF_8);
    AtomicFile.write(file, out -> out.write(bytes));
  }

  /** Whether there is a file, and a calibration wrote it as its report. */
  public static boolean isWritten(Path file) {
    if (!Files.isRegularFile(file)) {
      return false;
    }
    try (var in = Files.newInputStream(file)) {
      return new String(in.readNBytes(HEAD_BYTES), StandardCharsets.UTF_8).contains(MARK);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The page; every text in it is escaped by the template. */
  static String html(Content content) {
    Map<String, Object> page =
        JSON.convertValue(ReportPage.of(content), new TypeReference<Map<String, Object>>() {});
    Configuration settings = new Configuration(Configuration.VERSION_2_3_34);
    settings.setClassForTemplateLoading(Report.class, "");
    settings.setDefaultEncoding(StandardCharsets.UTF_8.name());
    settings.setLocale(Locale.ROOT);
    settings.setNumberFormat("computer");
    StringWriter html = new StringWriter();
    try {
      settings.getTemplate(TEMPLATE).process(page, html);
    } catch (TemplateException e) {
      throw new CalibrationException("The report cannot be made: " + e.getMessage());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return html.toString();
  }
}
