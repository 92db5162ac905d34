package dev.kvshare.apply.plan;

import java.util.ArrayList;
import java.util.List;

/**
 * How a prompt is processed when a layer reads from a layer above it, whose keys and values do not
 * exist yet (Layer-Condensed KV Cache, arXiv 2405.10637, section 2.2). Either way a token sees the
 * source's keys and values of the tokens before it only, and the first token sees none; decoding
 * goes token by token.
 */
public sealed interface UpwardReading {
  /** What the LCKV code does unless told otherwise: 7 + 2 passes. */
  Parallel LCKV_DEFAULT = new Parallel(7, 2);

  /**
   * The whole prompt is run through the layers several times, each pass reading the keys and values
   * of the one before, the first one zeros. After p passes the first p tokens are exact.
   *
   * @param forwardPasses passes without gradient in training (m in the paper), at least 0
   * @param backwardPasses passes with gradient in training (b in the paper); at inference they are
   *     passes like the others
   */
  record Parallel(int forwardPasses, int backwardPasses) implements UpwardReading {
    public Parallel {
      if (forwardPasses < 0 || backwardPasses < 0 || forwardPasses + backwardPasses < 1) {
        throw new IllegalArgumentException(
            "forward_passes and backward_passes must be at least 1 together, found %d and %d"
                .formatted(forwardPasses, backwardPasses));
      }
    }

    public int passes() {
      return forwardPasses + backwardPasses;
    }
  }

  /** The prompt is processed token by token. */
  record Sequential() implements UpwardReading {}

  /**
   * What the LCKV code does with the fields of its configuration: at least one backward pass.
   *
   * @param forwardPasses {@code forward_passes}
   * @param backwardPasses {@code backward_passes}
   * @param sequential {@code use_sequential}
   */
  static UpwardReading lckv(int forwardPasses, int backwardPasses, boolean sequential) {
    return sequential ? new Sequential() : new Parallel(forwardPasses, Math.max(1, backwardPasses));
  }

  /**
   * Layers that follow one another.
   *
   * @param from the lowest
   * @param to the highest plus one; of an iterated group the highest is a source
   * @param iterated whether some of them reads from a layer above it
   */
  record Group(int from, int to, boolean iterated) {}

  /**
   * The layers of a model cut into groups that are run once and groups that are iterated, because a
   * layer in them reads from one above it; bottom first. Overlapping upward readings make one
   * group. This is {@code LayerTypeParser.iteration_plan} of the LCKV code (github.com/whyNLP/LCKV,
   * models/utils.py).
   */
  static List<Group> groups(SharingMap map) {
    List<Group> groups = new ArrayList<>();
    int to;
    for (int from = 0; from < map.layers(); from = to) {
      boolean iterated = map.source(from) > from;
      to = Math.max(map.source(from), from) + 1;
      for (int layer = from; iterated && layer < to; layer++) {
        to = Math.max(to, map.source(layer) + 1);
      }
      while (!iterated && to < map.layers() && map.source(to) <= to) {
        to++;
      }
      groups.add(new Group(from, to, iterated));
    }
    return groups;
  }

  /**
   * Layers that each token of a prompt goes through below the highest layer with a cache, passes
   * counted each; above that layer only the last token is run. What the layers of one pass cost is
   * alike, so the ratio to the unshared model's number is that of the time.
   */
  static int layersPerPromptToken(Plan plan) {
    if (plan.prefill() == Plan.Prefill.EXACT) {
      return plan.map().layers() - 1;
    }
    int highest = plan.map().highestOwner();
    int layers = 0;
    for (Group group : groups(plan.map())) {
      int to = Math.min(highest, group.to());
      if (group.iterated() && plan.upward() instanceof Parallel parallel) {
        int top = group.to() - 1;
        layers += parallel.passes() * (top - group.from()) + to - top;
      } else {
        layers += Math.max(0, to - group.from());
      }
    }
    return layers;
  }
}
