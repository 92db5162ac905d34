package dev.kvshare.apply.model.gguf.quantisation;

import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.storage.BlockDecoder;
import dev.kvshare.apply.model.storage.PlainDecoders;

/** The decoder of each type that a GGUF file may hold. */
public final class BlockDecoders {
  private BlockDecoders() {}

  /** The decoder; null for types that are not decoded to floating point. */
  public static BlockDecoder of(DataType type) {
    return switch (type) {
      case Q4_0 -> SmallBlocks::q4Symmetric;
      case Q4_1 -> SmallBlocks::q4Affine;
      case Q5_0 -> SmallBlocks::q5Symmetric;
      case Q5_1 -> SmallBlocks::q5Affine;
      case Q8_0 -> SmallBlocks::q8;
      case Q2_K -> SuperBlocks::q2;
      case Q3_K -> SuperBlocks::q3;
      case Q4_K -> SuperBlocks::q4;
      case Q5_K -> SuperBlocks::q5;
      case Q6_K -> SuperBlocks::q6;
      default -> PlainDecoders.of(type);
    };
  }
}
