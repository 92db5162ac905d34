package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.family.spec.WeightSpec.AsStored;
import dev.kvshare.apply.family.spec.WeightSpec.Layout;
import dev.kvshare.apply.family.spec.WeightSpec.Part;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** A weight of the decoder, row-major, put together from tensors whose rows follow one another. */
public record WeightSpec(List<Long> shape, List<Part> parts) {

  public WeightSpec {
    shape = List.copyOf(shape);
    parts = List.copyOf(parts);
  }

  /** A tensor of the checkpoint, its shape there, and how it becomes rows of the weight. */
  public record Part(String tensor, List<Long> shape, Layout layout) {
    public Part {
      shape = List.copyOf(shape);
    }

    private long rows() {
      return shape.get(layout instanceof Transposed ? 1 : 0);
    }

    private Part bias() {
      String name = tensor.replaceAll("\\.weight$", ".bias");
      return new Part(
          name, List.of(rows()), layout instanceof Transposed ? new AsStored() : layout);
    }
  }

  /** The bias [out] that belongs to this projection [out, in], by the names of its tensors. */
  WeightSpec bias() {
    return new WeightSpec(List.of(shape.get(0)), parts.stream().map(Part::bias).toList());
  }

  public sealed interface Layout {}

  public record AsStored() implements Layout {}

  /** Stored [in, out] (GPT-2). */
  public record Transposed() implements Layout {}

  /**
   * Stored group by group: each group holds {@code queries} query heads, one key head, one value
   * head (GPT-NeoX with one query head a group, InternLM2 with Hq/Hkv).
   */
  public record Grouped(int groups, int queries, int headSize) implements Layout {}

  /**
   * Names the tensors of a layer, or of what stands outside the layers, by role. Names are given
   * without the common prefix and without {@code .weight} and {@code .bias}.
   */
  public static final class Weights {
    private final String prefix;
    private final Map<WeightRole, WeightSpec> specs = new EnumMap<>(WeightRole.class);

    public Weights(String prefix) {
      this.prefix = prefix;
    }

    /** A matrix [rows, columns] without bias. */
    public Weights matrix(WeightRole role, String name, long rows, long columns) {
      return put(role, List.of(rows, columns), List.of(part(name + ".weight", rows, columns)));
    }

    /** A norm of {@code size} entries without bias. */
    public Weights norm(WeightRole role, String name, long size) {
      return put(role, List.of(size), List.of(part(name + ".weight", size)));
    }

    /** A norm of {@code size} entries with a bias. */
    public Weights layerNorm(WeightRole role, String name, long size) {
      put(role.bias(), List.of(size), List.of(part(name + ".bias", size)));
      return norm(role, name, size);
    }

    /** A projection [out, in]. */
    public Weights linear(WeightRole role, String name, long out, long in, boolean biased) {
      return linear(role, name, out, in, biased, new AsStored());
    }

    /** A projection stored with another layout than [out, in]. */
    public Weights linear(
        WeightRole role, String name, long out, long in, boolean biased, Layout layout) {
      List<Long> stored = layout instanceof Transposed ? List.of(in, out) : List.of(out, in);
      return stacked(role, in, biased, new Part(prefix + name + ".weight", stored, layout));
    }

    /** Separate query, key and value projections as one. */
    public Weights queryKeyValue(
        Dimensions sizes, String query, String key, String value, boolean biased) {
      return stacked(
          WeightRole.QUERY_KEY_VALUE,
          sizes.hidden(),
          biased,
          part(query + ".weight", sizes.queryRows(), sizes.hidden()),
          part(key + ".weight", sizes.keyValueRows(), sizes.hidden()),
          part(value + ".weight", sizes.keyValueRows(), sizes.hidden()));
    }

    /** Separate gate and up projections as one. */
    public Weights gateUp(String gate, String up, int inner, int hidden, boolean biased) {
      Part gates = part(gate + ".weight", inner, hidden);
      return stacked(
          WeightRole.GATE_UP, hidden, biased, gates, part(up + ".weight", inner, hidden));
    }

    /** Projections whose rows follow one another, all with {@code columns} columns. */
    private Weights stacked(WeightRole role, long columns, boolean biased, Part... parts) {
      long rows = Arrays.stream(parts).mapToLong(Part::rows).sum();
      WeightSpec weight = new WeightSpec(List.of(rows, columns), List.of(parts));
      specs.put(role, weight);
      if (biased) {
        specs.put(role.bias(), weight.bias());
      }
      return this;
    }

    /** What another prefix names. */
    public Weights addAll(Weights other) {
      specs.putAll(other.specs);
      return this;
    }

    public Weights put(WeightRole role, List<Long> shape, List<Part> parts) {
      specs.put(role, new WeightSpec(shape, parts));
      return this;
    }

    public Map<WeightRole, WeightSpec> build() {
      return specs;
    }

    /** A tensor of this prefix, as stored. */
    public Part part(String name, long... shape) {
      return new Part(prefix + name, Arrays.stream(shape).boxed().toList(), new AsStored());
    }
  }
}
