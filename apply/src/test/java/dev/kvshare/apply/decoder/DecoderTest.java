package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.PolicyException;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the decoder promises beyond the reference logits, on a random Llama of eight layers. */
class DecoderTest {
  private static final double TOLERANCE = 2e-4;
  private static final SharingMap SHARED = SharingMap.of(0, 0, 0, 3, 3, 3, 3, 3);

  private static Decoder decoder;

  @BeforeAll
  static void load() {
    decoder = Goldens.load(Goldens.TINY_LLAMA);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 4, 11, 30, 64})
  void promptInChunksGivesTheLogitsOfOneForward(int chunkTokens) {
    int[] prompt = prompt(30, 1);
    for (SharingMap map : new SharingMap[] {SharingMap.identity(8), SHARED}) {
      try (KvCache cache = decoder.newCache(map, 1, 8)) {
        float[] logits = Goldens.take(decoder.prefill(PromptBatch.of(prompt), cache, chunkTokens));

        assertEquals(30, cache.length());
        assertEquals(0, Goldens.difference(lastLogits(prompt, map), logits), TOLERANCE);
      }
    }
  }

  @Test
  void paddedRowsGiveTheLogitsOfEachPromptAlone() {
    int[][] prompts = {prompt(5, 2), prompt(12, 3), prompt(1, 4)};
    int[] continuation = prompt(3, 5);
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SHARED, 3, 8)) {
      float[] logits = Goldens.take(decoder.prefill(PromptBatch.of(prompts), cache, 5));
      assertRowsAlone(prompts, logits);
      for (int token : continuation) {
        NDArray step = manager.create(new long[] {token, token, token});
        logits = Goldens.take(decoder.decode(step, cache));
        for (int row = 0; row < prompts.length; row++) {
          prompts[row] = append(prompts[row], token);
        }
        assertRowsAlone(prompts, logits);
      }
    }
  }

  @Test
  void paddingMayStandAtEitherEnd() {
    int[][] mask = {{0, 0, 1, 1}, {1, 1, 1, 0}};
    int[][] ids = {{9, 9, 5, 6}, {7, 8, 9, 9}};

    PromptBatch batch = PromptBatch.padded(ids, mask);

    assertArrayEquals(new int[] {5, 6}, batch.rows().get(0));
    assertArrayEquals(new int[] {7, 8, 9}, batch.rows().get(1));
    assertArrayEquals(new long[] {1, 0}, batch.firstPositions());
    int[][] gap = {{1, 0, 1, 1}, {1, 1, 1, 0}};
    assertThrows(IllegalArgumentException.class, () -> PromptBatch.padded(ids, gap));
  }

  @Test
  void layersAboveTheHighestOwnerRunForTheLastPositionOnly() {
    int[] prompt = prompt(30, 6);
    long before = decoder.layerTokens();
    try (KvCache cache = decoder.newCache(SHARED, 1, 30)) {
      decoder.prefill(PromptBatch.of(prompt), cache, 10).close();
    }

    int highestOwner = 3;
    long expected = 30L * highestOwner + (8 - highestOwner);
    assertEquals(expected, decoder.layerTokens() - before);
  }

  @Test
  void cacheTakesExactlyTheOwnedFraction() {
    try (KvCache whole = decoder.newCache(SharingMap.identity(8), 2, 100);
        KvCache shared = decoder.newCache(SHARED, 2, 100)) {
      assertEquals(8L * 2 * 2 * 2 * 100 * 16 * 4, whole.bytes());
      assertEquals(whole.bytes() * 2 / 8, shared.bytes());
      assertEquals(
          shared.bytes(), decoder.spec().kvUse(Plan.of(SHARED)).bytesPerToken(4) * 2 * 100);
    }
  }

  @Test
  void cacheGrowsInBlocksAndKeepsWhatItHolds() {
    int[] prompt = prompt(40, 7);
    try (KvCache small = decoder.newCache(SHARED, 1, 3)) {
      decoder.prefill(PromptBatch.of(prompt), small, 1).close();

      assertEquals(256, small.capacity());
      assertEquals(decoder.spec().kvUse(Plan.of(SHARED)).bytesPerToken(4) * 256, small.bytes());
      try (KvCache large = decoder.newCache(SHARED, 1, 64)) {
        decoder.prefill(PromptBatch.of(prompt), large, 64).close();
        float[] expected = Goldens.take(large.keys(3));
        assertEquals(0, Goldens.difference(expected, Goldens.take(small.keys(3))), TOLERANCE);
      }
    }
  }

  @Test
  void forkResumesAtTheFirstChangedLayer() {
    int[] prompt = prompt(20, 8);
    SharingMap candidate = SharingMap.of(0, 1, 2, 3, 4, 2, 6, 2);
    int from = 5;
    try (NDManager manager = decoder.newManager();
        KvCache base = decoder.newCache(SharingMap.identity(8), 1, 20);
        KvCache fresh = decoder.newCache(candidate, 1, 20)) {
      NDArray ids = ids(manager, prompt);
      NDArray stored = decoder.layers(decoder.embed(ids, base), base, 0, from);
      decoder.layers(stored, base, from, 8);
      base.advance(prompt.length);
      float[] expected = Goldens.take(decoder.layers(decoder.embed(ids, fresh), fresh, 0, 8));

      try (KvCache fork = base.fork(candidate, from)) {
        float[] resumed = Goldens.take(decoder.layers(stored, fork, from, 8));

        assertArrayEquals(expected, resumed);
        assertEquals(fresh.bytes() / 6, fork.bytes());
        assertThrows(
            IllegalArgumentException.class, () -> decoder.layers(stored, fork, from - 1, 8));
      }
      assertThrows(IllegalArgumentException.class, () -> base.fork(candidate, 6));
    }
  }

  @Test
  void truncatedCacheContinuesAsIfTheRestHadNotBeen() {
    int[] prompt = prompt(10, 9);
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SHARED, 1, 16)) {
      decoder.forward(ids(manager, prompt), cache);
      cache.truncate(6);
      float[] logits = Goldens.take(decoder.decode(manager.create(new long[] {prompt[6]}), cache));

      float[] expected = lastLogits(Arrays.copyOf(prompt, 7), SHARED);
      assertEquals(0, Goldens.difference(expected, logits), TOLERANCE);
      assertThrows(IllegalArgumentException.class, () -> cache.truncate(8));
    }
  }

  @Test
  void mapsThatTheModelCannotRunAreRefused() {
    assertThrows(
        PolicyException.Mismatch.class, () -> decoder.newCache(SharingMap.identity(7), 1, 1));
    PolicyException.Unsupported upward =
        assertThrows(
            PolicyException.Unsupported.class,
            () -> decoder.newCache(SharingMap.of(0, 7, 2, 3, 4, 5, 6, 7), 1, 1));
    assertTrue(upward.getMessage().contains("layer 1"), upward.getMessage());
  }

  @Test
  void wrongInputIsNamed() {
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(SHARED, 2, 4)) {
      IllegalArgumentException beyond =
          assertThrows(
              IllegalArgumentException.class,
              () -> decoder.prefill(PromptBatch.of(new int[] {5}, new int[] {6, 256}), cache, 4));
      assertTrue(beyond.getMessage().contains("prompt 1 has token id 256"), beyond.getMessage());
      NDArray oneRow = manager.create(new long[] {5});
      assertThrows(IllegalArgumentException.class, () -> decoder.decode(oneRow, cache));
    }
    DecoderOptions absent = new DecoderOptions("cuda:99", ComputeType.FLOAT32, 0);
    try (Checkpoint checkpoint = Checkpoints.open(Goldens.TINY_LLAMA)) {
      PyTorchRuntime.DeviceException device =
          assertThrows(
              PyTorchRuntime.DeviceException.class, () -> Decoder.load(checkpoint, absent));
      assertTrue(device.getMessage().contains("cuda:99"), device.getMessage());
    }
    assertThrows(
        IllegalArgumentException.class, () -> new DecoderOptions("gpu", ComputeType.FLOAT32, 0));
  }

  private static void assertRowsAlone(int[][] prompts, float[] logits) {
    int vocabulary = decoder.spec().vocabularySize();
    for (int row = 0; row < prompts.length; row++) {
      float[] actual = Arrays.copyOfRange(logits, row * vocabulary, (row + 1) * vocabulary);
      assertEquals(
          0, Goldens.difference(lastLogits(prompts[row], SHARED), actual), TOLERANCE, "row " + row);
    }
  }

  private static float[] lastLogits(int[] prompt, SharingMap map) {
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(map, 1, prompt.length)) {
      NDArray logits = decoder.forward(ids(manager, prompt), cache);
      return logits.get(":, -1").toFloatArray();
    }
  }

  private static NDArray ids(NDManager manager, int[] prompt) {
    long[] ids = Arrays.stream(prompt).asLongStream().toArray();
    return manager.create(ids, new Shape(1, prompt.length));
  }

  private static int[] prompt(int tokens, int seed) {
    return new Random(seed).ints(tokens, 3, 256).toArray();
  }

  private static int[] append(int[] prompt, int token) {
    int[] longer = Arrays.copyOf(prompt, prompt.length + 1);
    longer[prompt.length] = token;
    return longer;
  }
}
