package dev.kvshare.apply.family.spec;

import java.util.List;

/**
 * A weight of the decoder, put together from tensors of the checkpoint.
 *
 * @param shape the shape that the decoder wants, row-major
 * @param parts tensors whose rows follow one another
 */
public record WeightSpec(List<Long> shape, List<Part> parts) {

  /** Copies the lists. */
  public WeightSpec {
    shape = List.copyOf(shape);
    parts = List.copyOf(parts);
  }

  /**
   * One tensor of the checkpoint.
   *
   * @param tensor its name
   * @param shape the shape that it must have in the checkpoint
   * @param layout how its bytes become rows of the weight
   */
  public record Part(String tensor, List<Long> shape, Layout layout) {
    /** Copies the list. */
    public Part {
      shape = List.copyOf(shape);
    }
  }

  /** How a stored tensor becomes rows of a weight. */
  public sealed interface Layout {}

  /** As stored. */
  public record AsStored() implements Layout {}

  /** Stored [in, out] (GPT-2). */
  public record Transposed() implements Layout {}

  /**
   * Stored group by group: each group holds {@code queries} query heads, one key head, one value
   * head (GPT-NeoX with one query head a group, InternLM2 with Hq/Hkv).
   */
  public record Grouped(int groups, int queries, int headSize) implements Layout {}
}
