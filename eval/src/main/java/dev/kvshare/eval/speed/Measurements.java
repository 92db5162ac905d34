package dev.kvshare.eval.speed;

import ai.djl.pytorch.jni.JniUtils;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.apply.generate.ProcessMemory;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.Calibration;
import dev.kvshare.calibrate.Keep;
import dev.kvshare.calibrate.search.SearchOutcome;
import dev.kvshare.datasets.Corpus;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
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
 *
 * <p>Token t of prompt b is {@code (7919 t + 104729 b + 13) mod V}, so that other systems can be
 * given the same prompts.
 */
public final class Measurements implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final LoadedModel model;
  private final Decoder decoder;
  private KvCache cache;
  private int promptTokens;

  /** Nothing measured yet; the model stays open. */
  public Measurements(LoadedModel model) {
    this.model = model;
    this.decoder = model.decoder();
  }

  /** Answers the lines of a stream, one after another, to its end. */
  public void answer(InputStream lines, Consumer<String> answers) {
    try (BufferedReader in =
        new BufferedReader(new InputStreamReader(lines, StandardCharsets.UTF_8))) {
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        answers.accept(answer(line).toString());
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
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
      case "prefill" -> prefill(words, answer);
      case "decode" -> answer.put("seconds", decode(Integer.parseInt(words[1])));
      case "profile" -> profile(words[1]);
      case "search" -> search(words, answer);
      default ->
          throw new IllegalArgumentException("no measurement is called \"" + words[0] + "\"");
    }
    return answer;
  }

  private void prefill(String[] words, ObjectNode answer) {
    close();
    int batch = Integer.parseInt(words[1]);
    int vocabulary = decoder.spec().vocabularySize();
    promptTokens = Integer.parseInt(words[2]);
    SharingMap map = topShared(decoder.spec().layers(), Integer.parseInt(words[4]));
    cache = decoder.newCache(map, batch, promptTokens + Integer.parseInt(words[3]));
    List<int[]> prompts = new ArrayList<>();
    for (long row = 0; row < batch; row++) {
      long first = 104729 * row + 13;
      IntStream tokens = IntStream.range(0, promptTokens);
      prompts.add(tokens.map(t -> (int) ((7919L * t + first) % vocabulary)).toArray());
    }
    long start = System.nanoTime();
    SpeedMeter.prefill(decoder, new PromptBatch(prompts), cache);
    answer.put("seconds", (System.nanoTime() - start) / 1e9);
    answer.put("cache_bytes", cache.bytes());
    int elementBytes = model.key(null).computeType().bytes();
    long tokenBytes = decoder.spec().kvUse(Plan.of(map)).bytesPerToken(elementBytes);
    answer.put("predicted_bytes", tokenBytes * batch * cache.capacity());
    ProcessMemory.peakResidentBytes().ifPresent(bytes -> answer.put("peak_resident_bytes", bytes));
  }

  /** Seconds to decode behind the prompts; the next call begins at their end again. */
  private double decode(int newTokens) {
    cache.truncate(promptTokens);
    long[] first = new long[cache.batch()];
    Arrays.fill(first, 13);
    long start = System.nanoTime();
    SpeedMeter.decode(decoder, first, cache, newTokens);
    return (System.nanoTime() - start) / 1e9;
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
    if (cache != null) {
      cache.close();
      cache = null;
    }
  }
}
