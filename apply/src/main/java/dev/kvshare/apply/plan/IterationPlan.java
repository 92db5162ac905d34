package dev.kvshare.apply.plan;

import java.util.ArrayList;
import java.util.List;

/**
 * The layers of a model cut into groups that are run once and groups that are iterated, because a
 * layer in them reads from one above it. Overlapping upward readings make one group. This is {@code
 * LayerTypeParser.iteration_plan} of the LCKV code (github.com/whyNLP/LCKV, models/utils.py).
 */
public final class IterationPlan {

  /**
   * Layers that follow one another.
   *
   * @param from the lowest
   * @param to the highest plus one; of an iterated group the highest is a source
   * @param iterated whether some of them reads from a layer above it
   */
  public record Group(int from, int to, boolean iterated) {}

  private IterationPlan() {}

  /** Returns the groups of {@code map}, bottom first; together they are all its layers. */
  public static List<Group> of(SharingMap map) {
    List<Group> groups = new ArrayList<>();
    int from = 0;
    while (from < map.layers()) {
      boolean iterated = map.source(from) > from;
      int to = iterated ? endOfGroup(map, from) : endOfPlain(map, from);
      groups.add(new Group(from, to, iterated));
      from = to;
    }
    return groups;
  }

  /**
   * Layers that each token of a prompt goes through below the highest layer with a cache, passes
   * counted each; above that layer only the last token is run. What the layers of one pass cost is
   * alike, so the ratio to the unshared model's number is that of the time.
   */
  public static int layersPerPromptToken(Plan plan) {
    int highest = plan.map().highestOwner();
    int layers = 0;
    for (Group group : of(plan.map())) {
      int to = Math.min(highest, group.to());
      if (group.iterated() && plan.upward() instanceof UpwardReading.Parallel parallel) {
        int top = group.to() - 1;
        layers += parallel.passes() * (top - group.from()) + to - top;
      } else {
        layers += Math.max(0, to - group.from());
      }
    }
    return layers;
  }

  private static int endOfGroup(SharingMap map, int from) {
    int top = map.source(from);
    for (int layer = from; layer <= top; layer++) {
      top = Math.max(top, map.source(layer));
    }
    return top + 1;
  }

  private static int endOfPlain(SharingMap map, int from) {
    int to = from + 1;
    while (to < map.layers() && map.source(to) <= to) {
      to++;
    }
    return to;
  }
}
