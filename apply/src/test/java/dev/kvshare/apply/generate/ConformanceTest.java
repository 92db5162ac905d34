package dev.kvshare.apply.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecodingCache;
import dev.kvshare.apply.decoder.Goldens;
import dev.kvshare.apply.decoder.LayerParts.Projection;
import dev.kvshare.apply.decoder.PromptBatch;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.AtomicFile;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.Plan.Windows;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.Policy.RepairReference;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.RefittedWeights;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What every runtime of a policy must give: tokens, logits and bytes of tiny models under each kind
 * of plan. The files under {@code src/test/resources/conformance} are the reference of the Python
 * package and of the DJL translator; {@code -Dkvshare.updateConformance=true} writes them anew.
 */
@Tag("numerics")
class ConformanceTest {
  private static final int[] PROMPT_TOKENS = {20, 9};

  /**
   * Of Gemma's five layers the first and the fourth slide; the others have four of one kind, the
   * built-in model twelve.
   */
  private static Map<String, Plan> plans(String model) {
    SharingMap shared =
        switch (model) {
          case "gemma3" -> SharingMap.of(0, 1, 1, 0, 1);
          case "builtin" -> SharingMap.of(0, 1, 1, 0, 4, 4, 6, 6, 6, 9, 10, 10);
          default -> SharingMap.of(0, 1, 1, 0);
        };
    int[] sources = SharingMap.identity(shared.layers()).toArray();
    sources[2] = 1;
    SharingMap one = SharingMap.of(sources);
    Plan own = Plan.identity(shared.layers());
    Plan ends = Plan.of(one).withWindows(new Windows(List.of(1, 2, 3), 2, 5));
    return Map.of(
        "own", own,
        "share", Plan.of(shared),
        "window", own.withWindows(new Windows(List.of(1, 3), 2, 5)),
        "window-without-first", own.withWindows(new Windows(List.of(0, 2), 0, 4)),
        "reader-window", Plan.of(shared).withWindows(new Windows(List.of(2), 3, 6)),
        "mixed", ends,
        "exact", ends.withPrefill(Plan.Prefill.EXACT),
        "repaired", ends,
        "repaired-exact", ends.withPrefill(Plan.Prefill.EXACT));
  }

  @ParameterizedTest
  @MethodSource("dev.kvshare.apply.generate.Conformance#models")
  void theRuntimeGivesTheStoredTokensLogitsAndBytes(String name) throws IOException {
    Path folder = Conformance.ROOT.resolve(name);
    Path checkpoint = Conformance.checkpoint(name);
    boolean update = Boolean.getBoolean("kvshare.updateConformance");
    try (LoadedModel model = LoadedModel.open(checkpoint, Goldens.OPTIONS)) {
      Decoder decoder = model.decoder();
      for (Map.Entry<String, Plan> plan : new TreeMap<>(plans(name)).entrySet()) {
        Path policy = folder.resolve(plan.getKey() + ".json");
        if (update) {
          Files.createDirectories(folder);
          write(Policy.of(model.identity(), plan.getValue()), decoder, policy);
        }
        Policy read = PolicyFile.read(policy, model.identity(), decoder.spec(), false);
        assertEquals(plan.getValue(), read.plan());
        try (WeightOverrides overrides = PolicyModel.overrides(read, policy, decoder)) {
          check(decoder, new CacheOptions(read.plan(), overrides), policy, update);
        }
      }
    }
  }

  /** Both repaired plans have the weights of one file. */
  private static void write(Policy policy, Decoder decoder, Path file) {
    String name = file.getFileName().toString();
    RefittedWeights weights = name.startsWith("repaired") ? refitted(decoder) : null;
    if (name.equals("repaired.json") || weights == null) {
      PolicyFile.write(policy, weights, file);
      return;
    }
    RepairReference reference =
        new RepairReference(
            "repaired.safetensors",
            weights.sha256(),
            PolicyFile.planSha256(policy.plan()),
            List.copyOf(weights.names()));
    PolicyFile.write(policy.withRepair(reference), null, file);
  }

  private static void check(Decoder decoder, CacheOptions options, Path policy, boolean update) {
    Path expected = Conformance.expected(policy);
    int vocabulary = decoder.spec().vocabularySize();
    float[] logits = new float[2 * vocabulary];
    long[] second = run(decoder, options, logits, prompt(1, vocabulary));
    long[] tokens = concat(run(decoder, options, logits, prompt(0, vocabulary)), second);
    long[] bytes =
        IntStream.of(PROMPT_TOKENS[0], PROMPT_TOKENS[0] + Conformance.NEW_TOKENS - 1)
            .mapToLong(length -> decoder.spec().kvUse(options.plan()).bytes(length, Float.BYTES))
            .toArray();
    if (update) {
      SafetensorsWriter writer = new SafetensorsWriter(Map.of());
      add(writer, "prompt.0", prompt(0, vocabulary), PROMPT_TOKENS[0]);
      add(writer, "prompt.1", prompt(1, vocabulary), PROMPT_TOKENS[1]);
      add(writer, "tokens", tokens, 2, Conformance.NEW_TOKENS);
      add(writer, "kv_bytes", bytes, 2);
      ByteBuffer numbers = buffer(Float.BYTES * logits.length);
      numbers.asFloatBuffer().put(logits);
      writer.add("logits", DataType.F32, List.of(2L, (long) vocabulary), numbers);
      AtomicFile.write(expected, writer::writeTo);
    }
    String at = policy.toString();
    assertArrayEquals(Goldens.longs(expected, "prompt.0"), prompt(0, vocabulary), at);
    assertArrayEquals(Goldens.longs(expected, "tokens"), tokens, at);
    assertArrayEquals(Goldens.longs(expected, "kv_bytes"), bytes, at);
    assertEquals(
        0,
        Goldens.difference(Goldens.floats(expected, "logits"), logits),
        Conformance.TOLERANCE,
        at);
    long[] batch = run(decoder, options, logits, prompt(0, vocabulary), prompt(1, vocabulary));
    assertArrayEquals(tokens, batch, at + ", as a padded batch");
  }

  /**
   * Greedy tokens row by row.
   *
   * @param logits [2, V], takes those of the first row behind its prompt and behind the last token
   */
  private static long[] run(
      Decoder decoder, CacheOptions options, float[] logits, long[]... prompts) {
    List<int[]> rows =
        Stream.of(prompts)
            .map(row -> Arrays.stream(row).mapToInt(Math::toIntExact).toArray())
            .toList();
    int batch = prompts.length;
    int vocabulary = decoder.spec().vocabularySize();
    try (NDManager manager = decoder.newManager();
        DecodingCache cache = decoder.newCache(options, null, batch, 64)) {
      long[] tokens = new long[batch * Conformance.NEW_TOKENS];
      float[] last = Goldens.take(decoder.prefill(new PromptBatch(rows), cache, 512));
      System.arraycopy(last, 0, logits, 0, vocabulary);
      for (int step = 0; step < Conformance.NEW_TOKENS; step++) {
        long[] next = new long[batch];
        for (int row = 0; row < batch; row++) {
          next[row] = Conformance.highest(last, row * vocabulary, vocabulary);
          tokens[row * Conformance.NEW_TOKENS + step] = next[row];
        }
        if (step < Conformance.NEW_TOKENS - 1) {
          last = Goldens.take(decoder.decode(manager.create(next), cache));
        }
      }
      System.arraycopy(last, 0, logits, vocabulary, vocabulary);
      return tokens;
    }
  }

  /**
   * The checkpoint's weights and noise: all that a repair may hold in layer 2, o_proj in layer 3.
   */
  private static RefittedWeights refitted(Decoder decoder) {
    Map<String, NDArray> tensors = new TreeMap<>();
    Random random = new Random(15);
    try (NDManager manager = decoder.newManager()) {
      long queryRows = (long) decoder.spec().queryHeads() * decoder.spec().headSize();
      NDArray queries =
          decoder.weight(2, WeightRole.QUERY_KEY_VALUE, manager).get("0:" + queryRows);
      add(decoder, tensors, 2, WeightRole.QUERY_KEY_VALUE, noisy(queries, random), random);
      NDArray output = decoder.weight(2, WeightRole.OUTPUT, manager);
      long hidden = decoder.spec().hiddenSize();
      NDArray own = manager.zeros(new Shape(hidden, hidden));
      NDArray both = noisy(output, random).concat(noisy(own, random), 1);
      add(decoder, tensors, 2, WeightRole.OUTPUT, both, random);
      NDArray above = noisy(decoder.weight(3, WeightRole.OUTPUT, manager), random);
      add(decoder, tensors, 3, WeightRole.OUTPUT, above, random);
      return RefittedWeights.of(tensors);
    }
  }

  private static void add(
      Decoder decoder,
      Map<String, NDArray> tensors,
      int layer,
      WeightRole role,
      NDArray weight,
      Random random) {
    NDManager manager = weight.getManager();
    NDArray bias = noisy(manager.zeros(new Shape(weight.getShape().get(0))), random);
    tensors.putAll(decoder.tensors(layer, role, new Projection(weight, bias), manager));
  }

  private static NDArray noisy(NDArray tensor, Random random) {
    float[] noise = new float[Math.toIntExact(tensor.size())];
    for (int index = 0; index < noise.length; index++) {
      noise[index] = (float) random.nextGaussian() / 20;
    }
    return tensor.add(tensor.getManager().create(noise, tensor.getShape()));
  }

  private static long[] prompt(int row, int vocabulary) {
    return new Random(row + 1L).longs(PROMPT_TOKENS[row], 3, vocabulary).toArray();
  }

  private static void add(SafetensorsWriter writer, String name, long[] numbers, long... shape) {
    ByteBuffer bytes = buffer(Long.BYTES * numbers.length);
    bytes.asLongBuffer().put(numbers);
    writer.add(name, DataType.I64, Arrays.stream(shape).boxed().toList(), bytes);
  }

  private static ByteBuffer buffer(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static long[] concat(long[] one, long[] other) {
    long[] both = Arrays.copyOf(one, one.length + other.length);
    System.arraycopy(other, 0, both, one.length, other.length);
    return both;
  }
}
