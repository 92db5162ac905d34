package dev.kvshare.calibrate.report;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.interpret.RenderResult;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.calibrate.CalibrationException;
import dev.kvshare.calibrate.CalibrationResult;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;

/** Writes a calibration as one self-contained HTML page. */
public final class ReportFile {
  private static final String TEMPLATE = "report.html";
  private static final ObjectMapper JSON = new ObjectMapper();

  private ReportFile() {}

  /** Writes the page in one step: never half of it. Equal results give equal bytes. */
  public static void write(CalibrationResult result, Path file) {
    byte[] page = html(result).getBytes(StandardCharsets.UTF_8);
    AtomicFile.write(file, out -> out.write(page));
  }

  /** The page; every text in it is escaped by the template. */
  static String html(CalibrationResult result) {
    Map<String, Object> content =
        JSON.convertValue(ReportContent.of(result), new TypeReference<Map<String, Object>>() {});
    Jinjava jinjava =
        new Jinjava(
            JinjavaConfig.newBuilder()
                .withNestedInterpretationEnabled(false)
                .withTrimBlocks(true)
                .withLstripBlocks(true)
                .build());
    RenderResult rendered = jinjava.renderForResult(template(), content);
    if (rendered.hasErrors()) {
      throw new CalibrationException(
          "The report cannot be made: " + rendered.getErrors().get(0).getMessage());
    }
    return rendered.getOutput();
  }

  private static String template() {
    try (InputStream in = ReportFile.class.getResourceAsStream(TEMPLATE)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
