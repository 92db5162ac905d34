package dev.kvshare.eval.format;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.datasets.Passages;
import java.util.List;

/**
 * What a report says, for every form that it can be written in.
 *
 * @param cells the table for people, its head first
 * @param rows the rows for programs, all with the same fields
 * @param windows the text
 * @param warnings sentences for the user
 */
public record ReportContent(
    List<List<String>> cells, List<ObjectNode> rows, Passages windows, List<String> warnings) {}
