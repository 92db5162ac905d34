package dev.kvshare.eval.format;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import freemarker.template.Configuration;
import freemarker.template.TemplateException;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** A report as one self-contained HTML page: its pictures, each with its numbers, and its table. */
final class HtmlPage {
  private static final String TEMPLATE = "report.ftlh";
  private static final ObjectMapper JSON = new ObjectMapper();

  private HtmlPage() {}

  /** Every text in it is escaped by the template. */
  static String of(Report report) {
    List<Map<String, Object>> charts =
        report.charts().stream()
            .map(
                chart ->
                    Map.of(
                        "chart", chart,
                        "kind", chart.kind(),
                        "drawing", chart.drawing(),
                        "table", chart.table()))
            .toList();
    List<List<String>> facts = new ArrayList<>();
    flatten("", report.about().deepCopy().retain("text", "run"), facts);
    Configuration settings = new Configuration(Configuration.VERSION_2_3_34);
    settings.setClassForTemplateLoading(HtmlPage.class, "");
    settings.setDefaultEncoding(StandardCharsets.UTF_8.name());
    settings.setLocale(Locale.ROOT);
    settings.setNumberFormat("computer");
    Map<String, Object> page =
        Map.of(
            "cells", report.cells(),
            "notes", report.notes(),
            "warnings", report.warnings(),
            "charts", charts,
            "facts", facts);
    StringWriter html = new StringWriter();
    try {
      settings
          .getTemplate(TEMPLATE)
          .process(JSON.convertValue(page, new TypeReference<Map<String, Object>>() {}), html);
    } catch (TemplateException e) {
      throw new IllegalStateException("the template fits the report", e);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return html.toString();
  }

  /** The values of a tree, each beside its path. */
  private static void flatten(String path, JsonNode node, List<List<String>> facts) {
    if (node.isContainerNode()) {
      node.propertyStream()
          .forEach(
              field ->
                  flatten(
                      (path + " " + field.getKey().replace('_', ' ')).strip(),
                      field.getValue(),
                      facts));
      for (int i = 0; node.isArray() && i < node.size(); i++) {
        flatten(path + " " + (i + 1), node.get(i), facts);
      }
    } else if (!node.isNull()) {
      facts.add(List.of(path, node.isPojo() ? node.toString() : node.asText()));
    }
  }
}
