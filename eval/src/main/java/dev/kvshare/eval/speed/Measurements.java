package dev.kvshare.eval.speed;

import ai.djl.pytorch.jni.JniUtils;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.generate.ProcessMemory;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.Keep;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.datasets.Corpus;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Measures what benchmark scripts ask for, a line at a time, so that their other side can run in
 * between. Each answer is a line of JSON.
 *
 * <pre>
 * prefill BATCH TOKENS NEW TOP      seconds to read prompts into a cache whose top layers share
 * decode NEW                        seconds to decode behind the prompts; may be repeated
 * profile start                     the engine records its operators from now on
 * profile FILE                      ends that and writes a trace
 * search SHARE THRESHOLD FILE       a search on the samples of a JSON file, [[ids of a sample], ...]
 * </pre>
 */
public final class Measurements implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final LoadedModel model;
  private final int bytesPerElement;
  private final SpeedRun speed;

  /**
   * Nothing measured yet.
   *
   * @param model stays open
   * @param bytesPerElement of its cache
   */
  public Measurements(LoadedModel model, int bytesPerElement) {
    this.model = model;
    this.bytesPerElement = bytesPerElement;
    this.speed = new SpeedRun(model.decoder());
  }

  /**
   * Answers one request.
   *
   * @throws IllegalArgumentException if no measurement has that name
   */
  public ObjectNode answer(String request) throws IOException {
    String[] words = request.split(" ");
    ObjectNode answer = JSON.createObjectNode();
    switch (words[0]) {
      case "prefill" -> {
        SharingMap map = topShared(model.decoder().spec().layers(), Integer.parseInt(words[4]));
        answer.put(
            "seconds",
            speed.prefill(
                Integer.parseInt(words[1]),
                Integer.parseInt(words[2]),
                Integer.parseInt(words[3]),
                map));
        answer.put("cache_bytes", speed.cacheBytes());
        answer.put("predicted_bytes", speed.predictedBytes(bytesPerElement));
        ProcessMemory.peakResidentBytes()
            .ifPresent(bytes -> answer.put("peak_resident_bytes", bytes));
      }
      case "decode" -> answer.put("seconds", speed.decode(Integer.parseInt(words[1])));
      case "profile" -> profile(words[1]);
      case "search" -> search(words, answer);
      default ->
          throw new IllegalArgumentException("no measurement is called \"" + words[0] + "\"");
    }
    return answer;
  }

  private static void profile(String word) {
    if (word.equals("start")) {
      JniUtils.startProfile(false, false, false);
    } else {
      JniUtils.stopProfile(word);
    }
  }

  private void search(String[] words, ObjectNode answer) throws IOException {
    List<int[]> samples = Arrays.asList(JSON.readValue(Path.of(words[3]).toFile(), int[][].class));
    Calibration calibration =
        Calibration.of(model)
            .text(new Corpus.Tokens(words[3], null, samples))
            .samples(samples.size())
            .tokensPerSample(Integer.MAX_VALUE)
            .method("kvsharer")
            .keep(new Keep.SharedLayers(Integer.parseInt(words[1])))
            .threshold(Double.parseDouble(words[2]));
    long start = System.nanoTime();
    SearchOutcome outcome = calibration.run().outcome();
    answer.put("seconds", (System.nanoTime() - start) / 1e9);
    answer.put("tests", outcome.tested().size());
    answer.put("evaluations", outcome.work().evaluations());
    answer.put("reference_evaluations", outcome.work().reference());
    Arrays.stream(outcome.map().toArray()).forEach(answer.withArray("kv_source")::add);
  }

  /** The top layers read the layer below them. */
  private static SharingMap topShared(int layers, int top) {
    return SharingMap.of(
        IntStream.range(0, layers).map(layer -> Math.min(layer, layers - 1 - top)).toArray());
  }

  @Override
  public void close() {
    speed.close();
  }
}
