package dev.kvshare.apply.model.gguf;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Writes GGUF files, sound and broken ones. The header's counts follow the entries unless they are
 * set; values and tensors are written as given, without any check.
 */
final class GgufFixture {
  static final int UINT8 = 0;
  static final int UINT32 = 4;
  static final int INT32 = 5;
  static final int FLOAT32 = 6;
  static final int BOOL = 7;
  static final int STRING = 8;
  static final int ARRAY = 9;
  static final int UINT64 = 10;

  static final int F32 = 0;
  static final int Q8_0 = 8;

  private final List<byte[]> pairs = new ArrayList<>();
  private final List<byte[]> tensors = new ArrayList<>();
  private final ByteArrayOutputStream data = new ByteArrayOutputStream();
  private String magic = "GGUF";
  private int version = 3;
  private Long pairCount;
  private Long tensorCount;

  /**
   * A Llama model of one layer, hidden size 8, two query heads and one key/value head of size 4.
   */
  static GgufFixture llama() {
    GgufFixture gguf =
        new GgufFixture()
            .text("general.architecture", "llama")
            .natural("llama.block_count", 1)
            .natural("llama.context_length", 64)
            .natural("llama.embedding_length", 8)
            .natural("llama.feed_forward_length", 16)
            .natural("llama.attention.head_count", 2)
            .natural("llama.attention.head_count_kv", 1)
            .number("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf.floats("token_embd.weight", 8, 4).floats("output_norm.weight", 8);
    gguf.floats("blk.0.attn_norm.weight", 8).floats("blk.0.ffn_norm.weight", 8);
    gguf.floats("blk.0.attn_q.weight", 8, 8).floats("blk.0.attn_k.weight", 8, 4);
    gguf.floats("blk.0.attn_v.weight", 8, 4).floats("blk.0.attn_output.weight", 8, 8);
    gguf.floats("blk.0.ffn_gate.weight", 8, 16).floats("blk.0.ffn_up.weight", 8, 16);
    return gguf.floats("blk.0.ffn_down.weight", 16, 8);
  }

  GgufFixture magic(String text) {
    magic = text;
    return this;
  }

  GgufFixture version(int number) {
    version = number;
    return this;
  }

  GgufFixture pairCount(long count) {
    pairCount = count;
    return this;
  }

  GgufFixture tensorCount(long count) {
    tensorCount = count;
    return this;
  }

  GgufFixture text(String key, String value) {
    return pair(key, STRING, string(value));
  }

  GgufFixture natural(String key, int value) {
    return pair(key, UINT32, int32(value));
  }

  GgufFixture number(String key, float value) {
    return pair(key, FLOAT32, int32(Float.floatToIntBits(value)));
  }

  GgufFixture texts(String key, String... values) {
    byte[][] elements = new byte[values.length][];
    for (int i = 0; i < values.length; i++) {
      elements[i] = string(values[i]);
    }
    return array(key, STRING, values.length, elements);
  }

  GgufFixture array(String key, int type, long count, byte[]... elements) {
    return pair(key, ARRAY, join(int32(type), int64(count), join(elements)));
  }

  GgufFixture pair(String key, int type, byte[] value) {
    pairs.add(join(string(key), int32(type), value));
    return this;
  }

  /** A float32 tensor whose values count up from 0; sizes innermost first. */
  GgufFixture floats(String name, long... sizes) {
    int count = 1;
    for (long size : sizes) {
      count *= (int) size;
    }
    ByteBuffer values = ByteBuffer.allocate(count * 4).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < count; i++) {
      values.putFloat(i);
    }
    return stored(name, F32, values.array(), sizes);
  }

  /** A tensor with its bytes. */
  GgufFixture stored(String name, int type, byte[] bytes, long... sizes) {
    tensor(name, type, data.size(), sizes);
    data.writeBytes(bytes);
    while (data.size() % 32 != 0) {
      data.write(0);
    }
    return this;
  }

  /** A tensor's description alone. */
  GgufFixture tensor(String name, int type, long offset, long... sizes) {
    byte[] info = join(string(name), int32(sizes.length));
    for (long size : sizes) {
      info = join(info, int64(size));
    }
    tensors.add(join(info, int32(type), int64(offset)));
    return this;
  }

  /** The file. */
  byte[] bytes() {
    byte[] header =
        join(bare(), join(pairs.toArray(new byte[0][])), join(tensors.toArray(new byte[0][])));
    return join(header, new byte[(32 - header.length % 32) % 32], data.toByteArray());
  }

  /** The file up to the counts. */
  byte[] bare() {
    return join(
        magic.getBytes(StandardCharsets.US_ASCII),
        int32(version),
        int64(tensorCount == null ? tensors.size() : tensorCount),
        int64(pairCount == null ? pairs.size() : pairCount));
  }

  static byte[] string(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    return join(int64(bytes.length), bytes);
  }

  static byte[] int32(int value) {
    return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array();
  }

  static byte[] int64(long value) {
    return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
  }

  static byte[] join(byte[]... parts) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      out.writeBytes(part);
    }
    return out.toByteArray();
  }
}
