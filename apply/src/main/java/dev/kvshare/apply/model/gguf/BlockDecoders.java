package dev.kvshare.apply.model.gguf;

import static dev.kvshare.apply.model.gguf.BlockDecoders.SmallBlocks.half;

import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.DataType.HalfPrecision;
import dev.kvshare.apply.model.storage.StoredTensor;
import dev.kvshare.apply.model.storage.StoredTensor.BlockDecoder;

/** The decoder of each type that a GGUF file may hold. */
final class BlockDecoders {
  private BlockDecoders() {}

  /** The decoder; null for types that are not decoded to floating point. */
  static BlockDecoder of(DataType type) {
    return switch (type) {
      case Q4_0 -> (blocks, count, values) -> SmallBlocks.q(type, 8, blocks, count, values);
      case Q5_0 -> (blocks, count, values) -> SmallBlocks.q(type, 16, blocks, count, values);
      case Q4_1, Q5_1 -> (blocks, count, values) -> SmallBlocks.q(type, 0, blocks, count, values);
      case Q8_0 -> SmallBlocks::q8;
      case Q2_K -> SuperBlocks::q2;
      case Q3_K -> SuperBlocks::q3;
      case Q4_K, Q5_K -> (blocks, count, values) -> SuperBlocks.q(type, blocks, count, values);
      case Q6_K -> SuperBlocks::q6;
      default -> StoredTensor.plainDecoder(type);
    };
  }

  /**
   * Blocks of 32 weights with one scale d, and in the affine types a minimum m, both float16.
   * Weight i has its low four bits in the low half of byte i for i below 16, else in the high half
   * of byte i - 16; a fifth bit is bit i of a 32-bit word.
   *
   * <pre>
   * Q4_0  d qs[16]         d * (q - 8)
   * Q4_1  d m qs[16]       d * q + m
   * Q5_0  d qh[4] qs[16]   d * (q - 16)
   * Q5_1  d m qh[4] qs[16] d * q + m
   * Q8_0  d q[32]          d * q, q signed
   * </pre>
   */
  static final class SmallBlocks {
    private static final int SIZE = 32;
    private static final int HALF = 16;

    private SmallBlocks() {}

    /** Types of 4 and 5 bits; {@code zero} is subtracted, 0 where the blocks have a minimum. */
    static void q(DataType type, int zero, byte[] blocks, int count, float[] values) {
      boolean fifth = type == DataType.Q5_0 || type == DataType.Q5_1;
      for (int b = 0; b < count; b++) {
        int start = b * type.blockBytes();
        int quants = start + type.blockBytes() - HALF;
        int out = b * SIZE;
        float d = half(blocks, start);
        // Adding -0 changes nothing, not even the sign of a zero.
        float m = zero == 0 ? half(blocks, start + 2) : -0f;
        int high = fifth ? word(blocks, quants - 4) : 0;
        for (int i = 0; i < HALF; i++) {
          int pair = blocks[quants + i];
          values[out + i] = d * (((pair & 0xf) | fifthBit(high, i)) - zero) + m;
          values[out + HALF + i] =
              d * ((((pair >> 4) & 0xf) | fifthBit(high, HALF + i)) - zero) + m;
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

  /**
   * The "K" types: super-blocks of 256 weights in sub-blocks of 16 or 32, whose own scales (and
   * minima) are small integers in units of the super-block's float16 d (and dmin).
   *
   * <pre>
   * Q2_K  scales[16] qs[64] d dmin           sub-blocks of 16: d * sc * q - dmin * m, q of 2 bits
   * Q3_K  hmask[32] qs[64] scales[12] d      sub-blocks of 16: d * (sc - 32) * (q - 4), q of 3 bits
   * Q4_K  d dmin scales[12] qs[128]          sub-blocks of 32: d * sc * q - dmin * m, q of 4 bits
   * Q5_K  d dmin scales[12] qh[32] qs[128]   sub-blocks of 32: d * sc * q - dmin * m, q of 5 bits
   * Q6_K  ql[128] qh[64] scales[16] d        sub-blocks of 16: d * sc * (q - 32), q of 6 bits
   * </pre>
   */
  private static final class SuperBlocks {
    private static final int SIZE = 256;

    private SuperBlocks() {}

    static void q2(byte[] blocks, int count, float[] values) {
      for (int b = 0; b < count; b++) {
        int start = b * DataType.Q2_K.blockBytes();
        float d = half(blocks, start + 80);
        float dmin = half(blocks, start + 82);
        for (int sub = 0; sub < 16; sub++) {
          int packed = blocks[start + sub];
          float scale = d * (packed & 0xf);
          float minimum = dmin * ((packed >> 4) & 0xf);
          // Each run of 32 bytes holds 128 weights: two bits of four groups of 32.
          int quants = start + 16 + sub / 8 * 32 + sub % 2 * 16;
          int shift = sub % 8 / 2 * 2;
          int out = b * SIZE + sub * 16;
          for (int i = 0; i < 16; i++) {
            values[out + i] = scale * ((blocks[quants + i] >> shift) & 3) - minimum;
          }
        }
      }
    }

    static void q3(byte[] blocks, int count, float[] values) {
      for (int b = 0; b < count; b++) {
        int start = b * DataType.Q3_K.blockBytes();
        float d = half(blocks, start + 108);
        for (int sub = 0; sub < 16; sub++) {
          float scale = d * (q3Scale(blocks, start + 96, sub) - 32);
          int quants = start + 32 + sub / 8 * 32 + sub % 2 * 16;
          int shift = sub % 8 / 2 * 2;
          int masks = start + sub % 2 * 16;
          int bit = sub / 2;
          int out = b * SIZE + sub * 16;
          for (int i = 0; i < 16; i++) {
            int low = (blocks[quants + i] >> shift) & 3;
            int high = (blocks[masks + i] >> bit) & 1;
            values[out + i] = scale * (low - 4 + 4 * high);
          }
        }
      }
    }

    /** Six bits: the low four in bytes 0 to 7, the high two in bytes 8 to 11. */
    private static int q3Scale(byte[] blocks, int scales, int sub) {
      int low = (blocks[scales + sub % 8] >> (sub / 8 * 4)) & 0xf;
      int high = (blocks[scales + 8 + sub % 4] >> (sub / 4 * 2)) & 3;
      return low | high << 4;
    }

    /** Types of 4 and 5 bits. */
    static void q(DataType type, byte[] blocks, int count, float[] values) {
      boolean fifth = type == DataType.Q5_K;
      for (int b = 0; b < count; b++) {
        int start = b * type.blockBytes();
        float d = half(blocks, start);
        float dmin = half(blocks, start + 2);
        for (int sub = 0; sub < 8; sub++) {
          float scale = d * scale(blocks, start + 4, sub);
          float minimum = dmin * minimum(blocks, start + 4, sub);
          int highs = start + 16;
          int quants = highs + (fifth ? 32 : 0) + sub / 2 * 32;
          int shift = sub % 2 * 4;
          int out = b * SIZE + sub * 32;
          for (int i = 0; i < 32; i++) {
            int low = (blocks[quants + i] >> shift) & 0xf;
            int high = fifth ? (blocks[highs + i] >> sub) & 1 : 0;
            values[out + i] = scale * (low | high << 4) - minimum;
          }
        }
      }
    }

    /** Six bits: bytes 0 to 3 for the first four sub-blocks, else spread over two bytes. */
    private static int scale(byte[] blocks, int scales, int sub) {
      return sub < 4
          ? blocks[scales + sub] & 0x3f
          : (blocks[scales + 4 + sub] & 0xf) | ((blocks[scales + sub - 4] >> 2) & 0x30);
    }

    /** Six bits: bytes 4 to 7 for the first four sub-blocks, else spread over two bytes. */
    private static int minimum(byte[] blocks, int scales, int sub) {
      return sub < 4
          ? blocks[scales + 4 + sub] & 0x3f
          : ((blocks[scales + 4 + sub] >> 4) & 0xf) | ((blocks[scales + sub] >> 2) & 0x30);
    }

    static void q6(byte[] blocks, int count, float[] values) {
      for (int b = 0; b < count; b++) {
        int start = b * DataType.Q6_K.blockBytes();
        float d = half(blocks, start + 208);
        for (int sub = 0; sub < 16; sub++) {
          float scale = d * blocks[start + 192 + sub];
          // Groups of 32 weights: four of them share 64 bytes of low and 32 bytes of high bits.
          int group = sub / 2;
          int within = sub % 2 * 16;
          int lows = start + group / 4 * 64 + group % 2 * 32 + within;
          int lowShift = group % 4 / 2 * 4;
          int highs = start + 128 + group / 4 * 32 + within;
          int highShift = group % 4 * 2;
          int out = b * SIZE + sub * 16;
          for (int i = 0; i < 16; i++) {
            int low = (blocks[lows + i] >> lowShift) & 0xf;
            int high = (blocks[highs + i] >> highShift) & 3;
            values[out + i] = scale * ((low | high << 4) - 32);
          }
        }
      }
    }
  }
}
