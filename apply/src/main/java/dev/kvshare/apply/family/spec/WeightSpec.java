package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.family.spec.WeightSpec.AsStored;
import dev.kvshare.apply.family.spec.WeightSpec.Layout;
import dev.kvshare.apply.family.spec.WeightSpec.Part;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

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

  /**
   * Names the tensors of a layer, or of what stands outside the layers, by role. Names are given
   * without the common prefix and without {@code .weight} and {@code .bias}.
   */
  public static final class Weights {
    private final String prefix;
    private final Map<WeightRole, WeightSpec> specs = new EnumMap<>(WeightRole.class);

    /**
     * @param prefix what every name begins with, the dot included
     */
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
      if (biased) {
        put(role.bias(), List.of(out), List.of(part(name + ".bias", out)));
      }
      return matrix(role, name, out, in);
    }

    /** A projection stored with another layout than [out, in]. */
    public Weights linear(
        WeightRole role,
        String name,
        long out,
        long in,
        boolean biased,
        Layout weight,
        Layout bias) {
      List<Long> stored =
          weight instanceof WeightSpec.Transposed ? List.of(in, out) : List.of(out, in);
      if (biased) {
        put(
            role.bias(),
            List.of(out),
            List.of(new Part(prefix + name + ".bias", List.of(out), bias)));
      }
      return put(
          role, List.of(out, in), List.of(new Part(prefix + name + ".weight", stored, weight)));
    }

    /** Separate query, key and value projections as one. */
    public Weights queryKeyValue(
        Dimensions sizes, String query, String key, String value, boolean biased) {
      return stacked(
          WeightRole.QUERY_KEY_VALUE,
          sizes.hidden(),
          biased,
          List.of(query, key, value),
          List.of(sizes.queryRows(), sizes.keyValueRows(), sizes.keyValueRows()));
    }

    /** Separate gate and up projections as one. */
    public Weights gateUp(String gate, String up, int inner, int hidden, boolean biased) {
      return stacked(WeightRole.GATE_UP, hidden, biased, List.of(gate, up), List.of(inner, inner));
    }

    /** Tensors whose rows follow one another, all with {@code columns} columns. */
    Weights stacked(
        WeightRole role, int columns, boolean biased, List<String> names, List<Integer> rows) {
      List<Part> weights = new ArrayList<>();
      List<Part> biases = new ArrayList<>();
      long total = 0;
      for (int index = 0; index < names.size(); index++) {
        weights.add(part(names.get(index) + ".weight", rows.get(index), columns));
        biases.add(part(names.get(index) + ".bias", rows.get(index)));
        total += rows.get(index);
      }
      if (biased) {
        put(role.bias(), List.of(total), biases);
      }
      return put(role, List.of(total, (long) columns), weights);
    }

    /** What another prefix names. */
    public Weights addAll(Weights other) {
      specs.putAll(other.specs);
      return this;
    }

    /** Any other weight. */
    public Weights put(WeightRole role, List<Long> shape, List<Part> parts) {
      specs.put(role, new WeightSpec(shape, parts));
      return this;
    }

    /** The weights by role. */
    public Map<WeightRole, WeightSpec> build() {
      return specs;
    }

    /** A tensor of this prefix, as stored. */
    public Part part(String name, long... shape) {
      List<Long> sizes = new ArrayList<>();
      for (long size : shape) {
        sizes.add(size);
      }
      return new Part(prefix + name, sizes, new AsStored());
    }
  }
}
