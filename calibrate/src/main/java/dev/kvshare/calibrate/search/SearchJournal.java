package dev.kvshare.calibrate.search;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.Divergence;
import dev.kvshare.apply.model.storage.Digest;
import dev.kvshare.apply.model.storage.JsonFiles;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.CalibrationException;
import dev.kvshare.calibrate.capture.DistanceMatrix;
import dev.kvshare.calibrate.capture.KvStatistics;
import dev.kvshare.calibrate.capture.SimilarityMeter;
import dev.kvshare.calibrate.repair.RepairPassages;
import dev.kvshare.calibrate.repair.RepairQuality;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;

/**
 * The progress of a search on disk, so that a killed run can go on. UTF-8 JSON lines:
 *
 * <pre>
 * {"schema":"kvshare.journal/2", ...}            the settings; a journal of others is refused
 * {"kv_source":[0,1,1,3],"similarity":0.97,"samples":30}    one line a tested candidate,
 * {"kv_source":[0,1,1,3],"similarity":0.99,"sums":[...]}    or one that was repaired
 * </pre>
 *
 * <p>Windowed layers of one that was repaired stand in {@code windowed_layers}, what they keep in
 * the settings.
 *
 * <p>A line is on disk before the next candidate is tested. A last line without its line feed was
 * cut off by the kill and is dropped.
 */
final class SearchJournal implements AutoCloseable {
  static final String SCHEMA = "kvshare.journal/2";
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path file;
  private final List<Entry> entries;
  private int replayed;
  // Not a FileChannel: an interrupt would close it. Opened with DSYNC: what is written is on disk.
  private final OutputStream out;

  /** A plan that was measured. */
  sealed interface Entry permits Tested, Repaired {
    Plan plan();
  }

  /** A tested candidate and its similarity. */
  record Tested(SharingMap map, SimilarityMeter.Similarity similarity) implements Entry {
    @Override
    public Plan plan() {
      return Plan.of(map);
    }
  }

  /** A plan that was measured as repaired. */
  record Repaired(Plan plan, RepairQuality quality) implements Entry {}

  private SearchJournal(Path file, List<Entry> entries, OutputStream out) {
    this.file = file;
    this.entries = List.copyOf(entries);
    this.out = out;
  }

  /**
   * Everything that decides what a search tests and finds.
   *
   * @param ranking the pairs in the order in which they are tried
   * @param passagesOrNull on which plans are repaired, null where none is
   */
  static ObjectNode header(
      KvStatistics statistics,
      List<DistanceMatrix.Pair> ranking,
      SearchSettings settings,
      RepairPassages passagesOrNull) {
    SearchGoals goals = settings.goals();
    ObjectNode node = JSON.createObjectNode();
    node.put("schema", SCHEMA);
    node.put("model", statistics.key());
    node.put("layers", statistics.model().layers());
    node.put("dataset", statistics.dataset().sha256());
    node.put("samples", sha256OfTokens(statistics.samples()));
    node.put("sample_count", statistics.samples().size());
    node.put("method", settings.method().methodName());
    node.put("seed", settings.seed());
    node.put("threshold", settings.limits().threshold());
    goals.sharing().ifPresent(layers -> node.put("share_layers", layers));
    node.put(
        "ranking",
        Digest.sha256(ranking.stream().map(pair -> pair.layer() + " " + pair.source()).toList()));
    if (goals.windowed().isPresent()) {
      node.put("window_layers", goals.windowed().getAsInt());
      node.put("window", goals.window().last());
      node.put("sinks", goals.window().first());
    }
    if (passagesOrNull != null) {
      node.put("repair", sha256OfTokens(passagesOrNull.fit()));
      node.put("validation", sha256OfTokens(passagesOrNull.validation()));
      node.put("options", settings.method() + " " + settings.limits());
    }
    return node;
  }

  /** Over token ids, each sample a line. */
  private static String sha256OfTokens(List<int[]> samples) {
    return Digest.sha256(samples.stream().map(Arrays::toString).toList());
  }

  /** Begins a journal; one that exists is replaced. */
  static SearchJournal create(Path file, ObjectNode settings) {
    try {
      SearchJournal journal =
          new SearchJournal(
              file,
              List.of(),
              Files.newOutputStream(
                  file,
                  StandardOpenOption.CREATE,
                  StandardOpenOption.TRUNCATE_EXISTING,
                  StandardOpenOption.WRITE,
                  StandardOpenOption.DSYNC));
      journal.appendLine(settings);
      return journal;
    } catch (IOException e) {
      throw failure(file, e);
    }
  }

  /**
   * Goes on with a journal.
   *
   * @throws CalibrationException if it is of other settings or damaged
   */
  static SearchJournal resume(Path file, ObjectNode settings) {
    try {
      byte[] bytes = Files.readAllBytes(file);
      int end = bytes.length;
      while (end > 0 && bytes[end - 1] != '\n') {
        end--;
      }
      if (end == 0) {
        return create(file, settings);
      }
      String[] lines = new String(bytes, 0, end, StandardCharsets.UTF_8).split("\n", 0);
      requireSame(file, JsonFiles.parse(lines[0]), settings);
      List<Entry> entries = new ArrayList<>();
      for (int line = 1; line < lines.length; line++) {
        entries.add(entry(file, line, lines[line], settings));
      }
      try (FileChannel whole = FileChannel.open(file, StandardOpenOption.WRITE)) {
        whole.truncate(end);
      }
      return new SearchJournal(
          file,
          entries,
          Files.newOutputStream(file, StandardOpenOption.APPEND, StandardOpenOption.DSYNC));
    } catch (JsonFiles.MalformedException e) {
      throw damaged(file, 0, e);
    } catch (IOException e) {
      throw failure(file, e);
    }
  }

  /**
   * Measures similarities, and answers from the journal as long as it lasts. The search repeats its
   * decisions from the journalled similarities, so nothing else needs to be kept; {@code meter} is
   * told of the accepted map only when it is first needed.
   */
  SimilarityMeter similarities(SimilarityMeter meter) {
    return new SimilarityMeter() {
      private boolean measuring;
      private SharingMap acceptedInJournal;

      @Override
      public Similarity similarity(SharingMap candidate, double threshold) {
        Tested entry = replay(Plan.of(candidate), Tested.class);
        if (entry != null) {
          return entry.similarity();
        }
        if (!measuring && acceptedInJournal != null) {
          meter.accepted(acceptedInJournal);
        }
        measuring = true;
        Similarity similarity = meter.similarity(candidate, threshold);
        append(new Tested(candidate, similarity));
        return similarity;
      }

      @Override
      public void announce(Iterator<SharingMap> candidates) {
        meter.announce(candidates);
      }

      @Override
      public void accepted(SharingMap map) {
        if (measuring) {
          meter.accepted(map);
        } else {
          acceptedInJournal = map;
        }
      }

      @Override
      public LayerWork work() {
        return meter.work();
      }
    };
  }

  /** As {@link #similarities}, for plans that are repaired. */
  Search.PlanMeter plans(Search.PlanMeter meter) {
    return plan -> {
      Repaired entry = replay(plan, Repaired.class);
      if (entry != null) {
        return entry.quality();
      }
      RepairQuality quality = meter.quality(plan);
      append(new Repaired(plan, quality));
      return quality;
    };
  }

  /**
   * What an earlier run measured next, null at the end.
   *
   * @param plan what this run measures next
   * @throws CalibrationException if the earlier run did something else
   */
  private <T extends Entry> T replay(Plan plan, Class<T> kind) {
    if (replayed == entries.size()) {
      return null;
    }
    Entry entry = entries.get(replayed++);
    if (!entry.plan().equals(plan) || !kind.isInstance(entry)) {
      throw foreign(
          file,
          "its test number %d is of %s, but this search tests %s there"
              .formatted(replayed, entry.plan(), plan));
    }
    return kind.cast(entry);
  }

  /** Adds a tested candidate; on disk when this returns. */
  private void append(Entry entry) {
    ObjectNode line = JSON.createObjectNode();
    ArrayNode sources = line.putArray("kv_source");
    Arrays.stream(entry.plan().map().toArray()).forEach(sources::add);
    if (!entry.plan().windowedLayers().isEmpty()) {
      ArrayNode windowed = line.putArray("windowed_layers");
      entry.plan().windowedLayers().forEach(windowed::add);
    }
    if (entry instanceof Tested tested) {
      line.put("similarity", tested.similarity().mean());
      line.put("samples", tested.similarity().samples());
    } else if (entry instanceof Repaired repaired) {
      line.put("similarity", repaired.quality().similarity());
      Arrays.stream(repaired.quality().divergence().toArray()).forEach(line.putArray("sums")::add);
    }
    try {
      appendLine(line);
    } catch (IOException e) {
      throw failure(file, e);
    }
  }

  private void appendLine(ObjectNode line) throws IOException {
    out.write((line + "\n").getBytes(StandardCharsets.UTF_8));
  }

  @Override
  public void close() {
    try {
      out.close();
    } catch (IOException e) {
      throw failure(file, e);
    }
  }

  private static void requireSame(Path file, JsonNode found, ObjectNode expected) {
    List<String> differences = new ArrayList<>();
    for (var setting : expected.properties()) {
      JsonNode other = found.path(setting.getKey());
      if (!other.asText().equals(setting.getValue().asText())) {
        differences.add(
            "%s is %s there and %s now"
                .formatted(
                    setting.getKey(),
                    other.isMissingNode() ? "absent" : other,
                    setting.getValue()));
      }
    }
    if (!differences.isEmpty()) {
      throw foreign(file, String.join("; ", differences));
    }
  }

  private static Entry entry(Path file, int line, String text, ObjectNode settings) {
    try {
      JsonNode node = JsonFiles.parse(text);
      JsonNode similarity = node.path("similarity");
      JsonNode samples = node.path("samples");
      double[] sums = JSON.convertValue(node.path("sums"), double[].class);
      int[] sources = JSON.convertValue(node.path("kv_source"), int[].class);
      if (!similarity.isNumber()
          || samples.isInt() == (sums != null)
          || sources == null
          || sources.length != settings.path("layers").asInt()) {
        throw damaged(file, line, null);
      }
      SharingMap map = SharingMap.of(sources);
      if (sums != null) {
        return new Repaired(
            plan(map, node, settings),
            new RepairQuality(Divergence.ofArray(sums), similarity.doubleValue()));
      }
      return new Tested(
          map,
          new SimilarityMeter.Similarity(
              similarity.doubleValue(),
              samples.intValue(),
              settings.path("sample_count").intValue()));
    } catch (JsonFiles.MalformedException | IllegalArgumentException e) {
      throw damaged(file, line, e);
    }
  }

  private static Plan plan(SharingMap map, JsonNode line, ObjectNode settings) {
    Plan plan = Plan.of(map);
    for (JsonNode layer : line.path("windowed_layers")) {
      int tokens = settings.path("window").asInt();
      plan = plan.withWindowed(layer.asInt(-1), tokens, settings.path("sinks").asInt());
    }
    return plan;
  }

  private static CalibrationException foreign(Path file, String difference) {
    return new CalibrationException(
        "The journal %s belongs to another calibration: %s. Run with the settings it was begun with, or without --resume to begin anew."
            .formatted(file, difference));
  }

  private static CalibrationException damaged(Path file, int line, Exception cause) {
    return new CalibrationException(
        "The journal %s is damaged: line %d is not what a search writes. Run without --resume to begin anew."
            .formatted(file, line + 1),
        cause);
  }

  private static CalibrationException failure(Path file, IOException e) {
    return new CalibrationException(
        "The journal %s cannot be used: %s. Free some space or choose another place for the output."
            .formatted(file, e.getMessage()),
        e);
  }
}
