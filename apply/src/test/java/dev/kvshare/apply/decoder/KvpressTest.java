package dev.kvshare.apply.decoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.H2o;
import dev.kvshare.apply.cache.PyramidKv;
import dev.kvshare.apply.cache.SnapKv;
import dev.kvshare.apply.cache.StreamingLlm;
import dev.kvshare.apply.cache.TokenAmount;
import dev.kvshare.apply.plan.SharingMap;
import java.io.IOException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * What is kept of a prompt against kvpress: see {@code src/test/python/make_kvpress_goldens.py}.
 */
@Tag("numerics")
class KvpressTest {
  private static Decoder decoder;
  private static JsonNode golden;

  @BeforeAll
  static void load() throws IOException {
    golden = new ObjectMapper().readTree(Goldens.ROOT.resolve("kvpress/kept.json").toFile());
    decoder = Goldens.load(Goldens.TINY_LLAMA);
  }

  @AfterAll
  static void close() {
    decoder.close();
  }

  @ParameterizedTest
  @CsvSource({
    "streaming-llm, 0.25", "streaming-llm, 0.5", "streaming-llm, 0.75",
    "h2o, 0.25", "h2o, 0.5", "h2o, 0.75",
    "snapkv, 0.25", "snapkv, 0.5", "snapkv, 0.75",
    "pyramid, 0.25", "pyramid, 0.5", "pyramid, 0.75"
  })
  void keepsThePositionsThatKvpressKeeps(String name, double ratio) {
    CachePolicy policy = policy(name, TokenAmount.fraction(1 - ratio));
    int[] ids = ints(golden.get("input_ids"));
    CacheOptions options = CacheOptions.of(SharingMap.identity(8));
    try (CompressedCache cache = decoder.newCache(options, policy, 1)) {
      decoder.prefill(PromptBatch.of(ids), cache, 40).close();

      JsonNode kept = golden.get("kept").get(name + "/" + ratio);
      for (int layer = 0; layer < 8; layer++) {
        for (int head = 0; head < 2; head++) {
          assertArrayEquals(
              ints(kept.get(layer).get(head)),
              cache.places(layer)[0][head],
              "layer " + layer + ", head " + head);
        }
      }
    }
  }

  private static CachePolicy policy(String name, TokenAmount budget) {
    JsonNode settings = golden.get("settings");
    int window = settings.get("window").asInt();
    int kernel = settings.get("kernel").asInt();
    return switch (name) {
      case StreamingLlm.NAME -> new StreamingLlm(budget, settings.get("sinks").asInt());
      case H2o.NAME -> new H2o(budget, TokenAmount.tokens(0), true);
      case SnapKv.NAME -> new SnapKv(budget, window, kernel);
      default -> new PyramidKv(budget, window, kernel, settings.get("beta").asDouble());
    };
  }

  private static int[] ints(JsonNode array) {
    int[] numbers = new int[array.size()];
    for (int index = 0; index < numbers.length; index++) {
      numbers[index] = array.get(index).asInt();
    }
    return numbers;
  }
}
