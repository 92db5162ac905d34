package dev.kvshare.apply.model.gguf.quantisation;

import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.storage.HalfPrecision;

/**
 * Blocks of 32 weights with one scale d, and in the affine types a minimum m, both float16. Weight
 * i has its low four bits in the low half of byte i for i below 16, else in the high half of byte i
 * - 16; a fifth bit is bit i of a 32-bit word.
 *
 * <pre>
 * Q4_0  d qs[16]         d * (q - 8)
 * Q4_1  d m qs[16]       d * q + m
 * Q5_0  d qh[4] qs[16]   d * (q - 16)
 * Q5_1  d m qh[4] qs[16] d * q + m
 * Q8_0  d q[32]          d * q, q signed
 * </pre>
 */
final class SmallBlocks {
  private static final int SIZE = 32;
  private static final int HALF = 16;

  private SmallBlocks() {}

  static void q4Symmetric(byte[] blocks, int count, float[] values) {
    for (int b = 0; b < count; b++) {
      int start = b * DataType.Q4_0.blockBytes();
      int out = b * SIZE;
      float d = half(blocks, start);
      for (int i = 0; i < HALF; i++) {
        int pair = blocks[start + 2 + i];
        values[out + i] = d * ((pair & 0xf) - 8);
        values[out + HALF + i] = d * (((pair >> 4) & 0xf) - 8);
      }
    }
  }

  static void q4Affine(byte[] blocks, int count, float[] values) {
    for (int b = 0; b < count; b++) {
      int start = b * DataType.Q4_1.blockBytes();
      int out = b * SIZE;
      float d = half(blocks, start);
      float m = half(blocks, start + 2);
      for (int i = 0; i < HALF; i++) {
        int pair = blocks[start + 4 + i];
        values[out + i] = d * (pair & 0xf) + m;
        values[out + HALF + i] = d * ((pair >> 4) & 0xf) + m;
      }
    }
  }

  static void q5Symmetric(byte[] blocks, int count, float[] values) {
    for (int b = 0; b < count; b++) {
      int start = b * DataType.Q5_0.blockBytes();
      int out = b * SIZE;
      float d = half(blocks, start);
      int high = word(blocks, start + 2);
      for (int i = 0; i < HALF; i++) {
        int pair = blocks[start + 6 + i];
        values[out + i] = d * (((pair & 0xf) | fifthBit(high, i)) - 16);
        values[out + HALF + i] = d * ((((pair >> 4) & 0xf) | fifthBit(high, HALF + i)) - 16);
      }
    }
  }

  static void q5Affine(byte[] blocks, int count, float[] values) {
    for (int b = 0; b < count; b++) {
      int start = b * DataType.Q5_1.blockBytes();
      int out = b * SIZE;
      float d = half(blocks, start);
      float m = half(blocks, start + 2);
      int high = word(blocks, start + 4);
      for (int i = 0; i < HALF; i++) {
        int pair = blocks[start + 8 + i];
        values[out + i] = d * ((pair & 0xf) | fifthBit(high, i)) + m;
        values[out + HALF + i] = d * (((pair >> 4) & 0xf) | fifthBit(high, HALF + i)) + m;
      }
    }
  }

  static void q8(byte[] blocks, int count, float[] values) {
    for (int b = 0; b < count; b++) {
      int start = b * DataType.Q8_0.blockBytes();
      int out = b * SIZE;
      float d = half(blocks, start);
      for (int i = 0; i < SIZE; i++) {
        values[out + i] = d * blocks[start + 2 + i];
      }
    }
  }

  static float half(byte[] bytes, int offset) {
    return HalfPrecision.fromFloat16((short) ((bytes[offset] & 0xff) | bytes[offset + 1] << 8));
  }

  private static int word(byte[] bytes, int offset) {
    return (bytes[offset] & 0xff)
        | (bytes[offset + 1] & 0xff) << 8
        | (bytes[offset + 2] & 0xff) << 16
        | bytes[offset + 3] << 24;
  }

  private static int fifthBit(int high, int i) {
    return ((high >>> i) & 1) << 4;
  }
}
