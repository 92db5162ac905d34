package dev.kvshare.apply.model.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class GgufCheckpointTest {
  private static final String QUERY = "model.layers.0.self_attn.q_proj.weight";
  private static final String KEY = "model.layers.0.self_attn.k_proj.weight";
  private static final String VALUE = "model.layers.0.self_attn.v_proj.weight";

  @TempDir Path folder;

  @Test
  void translatesMetadata() throws IOException {
    try (Checkpoint checkpoint = open(GgufFixture.llama())) {
      ModelConfig config = checkpoint.config();
      assertEquals("llama", config.modelType());
      assertEquals(8, config.integer("hidden_size"));
      assertEquals(1, config.integer("num_key_value_heads"));
      assertEquals(4, config.integer("vocab_size"));
      assertEquals(1e-5, config.number("rms_norm_eps"));
      assertEquals(10000, config.number("rope_theta"));
      assertTrue(config.bool("tie_word_embeddings", false));
      assertFalse(config.bool("attention_bias", true));
      assertInstanceOf(TokenizerSource.None.class, checkpoint.tokenizerSource());
    }
  }

  @Test
  void acceptsVersion2AndAnUntiedHead() throws IOException {
    GgufFixture gguf = GgufFixture.llama().version(2).floats("output.weight", 8, 4);
    try (Checkpoint checkpoint = open(gguf)) {
      assertFalse(checkpoint.config().bool("tie_word_embeddings", true));
      assertEquals(List.of(4L, 8L), checkpoint.info("lm_head.weight").shape());
    }
  }

  @Test
  void translatesScaledRotaryEmbeddings() throws IOException {
    GgufFixture linear =
        GgufFixture.llama()
            .number("llama.rope.freq_base", 5e5f)
            .text("llama.rope.scaling.type", "linear")
            .number("llama.rope.scaling.factor", 4);
    try (Checkpoint checkpoint = open(linear)) {
      assertEquals(500000, checkpoint.config().number("rope_theta"));
      ModelConfig scaling = checkpoint.config().child("rope_scaling");
      assertEquals("linear", scaling.string("rope_type"));
      assertEquals(4, scaling.number("factor"));
    }
    try (Checkpoint checkpoint = open(GgufFixture.llama().floats("rope_freqs.weight", 2))) {
      ModelConfig scaling = checkpoint.config().child("rope_scaling");
      assertEquals("longrope", scaling.string("rope_type"));
      assertEquals(List.of(0.0, 1.0), scaling.numbers("short_factor"));
      assertEquals(List.of(0.0, 1.0), scaling.numbers("long_factor"));
      assertEquals(1, scaling.number("attention_factor"));
      assertFalse(checkpoint.tensors().containsKey("rope_freqs.weight"));
    }
  }

  /** In a head of four rows, the file holds the model's rows 0, 2, 1, 3. */
  @Test
  void undoesTheInterleavingOfQueryAndKeyHeads() throws IOException {
    try (Checkpoint checkpoint = open(GgufFixture.llama())) {
      assertArrayEquals(new float[] {0, 16, 8, 24, 32, 48, 40, 56}, firstOfRows(checkpoint, QUERY));
      assertArrayEquals(new float[] {0, 16, 8, 24}, firstOfRows(checkpoint, KEY));
      assertArrayEquals(new float[] {0, 8, 16, 24}, firstOfRows(checkpoint, VALUE));
      ByteBuffer dst = direct(2 * 8 * 4);
      checkpoint.readRows(QUERY, DataType.F32, 5, 2, dst);
      assertEquals(48, dst.getFloat(0));
      assertEquals(40, dst.getFloat(32));
    }
  }

  @Test
  void mapsOnlyWhatNeedsNoReordering() throws IOException {
    try (Checkpoint checkpoint = open(GgufFixture.llama())) {
      assertNull(checkpoint.mapped(QUERY, DataType.F32));
      assertNotNull(checkpoint.mapped(VALUE, DataType.F32));
    }
  }

  @Test
  void readsTheTokenizer() throws IOException {
    GgufFixture gguf =
        GgufFixture.llama()
            .text("tokenizer.ggml.model", "gpt2")
            .text("tokenizer.ggml.pre", "smollm")
            .texts("tokenizer.ggml.tokens", "a", "b", "ab")
            .texts("tokenizer.ggml.merges", "a b")
            .array(
                "tokenizer.ggml.token_type",
                GgufFixture.INT32,
                3,
                GgufFixture.int32(1),
                GgufFixture.int32(1),
                GgufFixture.int32(3))
            .natural("tokenizer.ggml.bos_token_id", 2)
            .pair("tokenizer.ggml.add_bos_token", GgufFixture.BOOL, new byte[] {1});
    try (Checkpoint checkpoint = open(gguf)) {
      var tokenizer =
          assertInstanceOf(TokenizerSource.GgufTokenizer.class, checkpoint.tokenizerSource());
      assertEquals("smollm", tokenizer.pre());
      assertEquals(List.of("a", "b", "ab"), tokenizer.tokens());
      assertEquals(List.of("a b"), tokenizer.merges());
      assertEquals(List.of(1, 1, 3), tokenizer.tokenTypes());
      assertEquals(2, tokenizer.specialTokens().bos());
      assertEquals(TokenizerSource.SpecialTokens.ABSENT, tokenizer.specialTokens().eos());
      assertEquals(true, tokenizer.addedTokens().bos());
      assertNull(tokenizer.addedTokens().eos());
      assertNull(tokenizer.chatTemplate());
      assertEquals(2, checkpoint.config().integer("bos_token_id"));
    }
  }

  /** As llama.cpp derives them: named ones, and those known by their text. */
  @ParameterizedTest
  @CsvSource({
    "'a <|end_of_text|> <|eot_id|> x <|eom_id|>', '', 1 2 4",
    "'<|end|> <|return|> <|call|> <|fim_pad|>', '', 1 2 3",
    "'<|end|> <|flush|> <|calls|>', '', 1 2",
    "'<|end|> <|call|>', '', 0 1",
    "'</s> <|tool_response> <eos>', eos=0, 1 2",
    "'a b <PAD> <|file_sep|> <|repo_name|>', fim_pad=0, 0 3 4",
    "'a b c', 'eos=0,eot=1,eom=2', 0 1 2"
  })
  void endsOfATextAreDerivedFromTheVocabulary(String tokens, String keys, String ends)
      throws IOException {
    GgufFixture gguf =
        GgufFixture.llama()
            .text("tokenizer.ggml.model", "gpt2")
            .texts("tokenizer.ggml.tokens", tokens.split(" ", -1));
    for (String key : keys.isEmpty() ? new String[0] : keys.split(",", -1)) {
      gguf.natural(
          "tokenizer.ggml." + key.replaceFirst("=.*", "_token_id"),
          Integer.parseInt(key.replaceFirst(".*=", "")));
    }
    try (Checkpoint checkpoint = open(gguf)) {
      var tokenizer = (TokenizerSource.GgufTokenizer) checkpoint.tokenizerSource();
      assertEquals(
          Arrays.stream(ends.split(" ", -1)).map(Integer::valueOf).collect(Collectors.toSet()),
          tokenizer.specialTokens().ends());
    }
  }

  @Test
  void messagesNameKeysAndTensorsOfTheFile() throws IOException {
    try (Checkpoint checkpoint = open(GgufFixture.llama().number("llama.rope.freq_base", 0))) {
      String message =
          assertThrows(CheckpointException.class, () -> ModelFamilies.spec(checkpoint))
              .getMessage();
      assertTrue(message.contains("'llama.rope.freq_base' is 0"), message);
    }
    try (Checkpoint checkpoint = open(GgufFixture.llama())) {
      assertEquals("blk.0.attn_q.weight", checkpoint.config().nameInFile(QUERY));
    }
  }

  private static float[] firstOfRows(Checkpoint checkpoint, String tensor) {
    int rows = (int) checkpoint.info(tensor).rows();
    ByteBuffer dst = direct(rows * 8 * Float.BYTES);
    checkpoint.read(tensor, DataType.F32, dst);
    float[] first = new float[rows];
    for (int row = 0; row < rows; row++) {
      first[row] = dst.getFloat(row * 8 * Float.BYTES);
    }
    return first;
  }

  private static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private Checkpoint open(GgufFixture gguf) throws IOException {
    return Checkpoints.open(Files.write(folder.resolve("model.gguf"), gguf.bytes()));
  }
}
