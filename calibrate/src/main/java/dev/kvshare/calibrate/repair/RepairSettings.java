package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.LayerParts.Part;
import dev.kvshare.calibrate.repair.fit.QueryFit;
import java.util.Collection;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * How a repair is made.
 *
 * @param parts the parts of a layer whose last projection is refitted
 * @param scope the layers that are refitted
 * @param ownToken whether the attention of a layer that shares also gets a projection of its own
 *     input: each token then contributes what the foreign values lack of it
 * @param queries how the queries of layers that share are fitted to the keys that they read;
 *     without steps they are not
 * @param strengths regularisation towards the original weight, ascending, in units of the mean
 *     square of an input; each fit takes the one with the least error on the validation passages
 */
public record RepairSettings(
    Set<Part> parts,
    Scope scope,
    boolean ownToken,
    QueryFit.Settings queries,
    List<Double> strengths) {

  /**
   * The queries of layers that share, and the output projections of attention from the first of
   * them on. Fitting the down projections as well gains a little on text of the same kind and loses
   * more on other text (docs/quality.md).
   */
  public static final RepairSettings DEFAULT =
      new RepairSettings(
          Set.of(Part.ATTENTION),
          Scope.FROM_FIRST_SHARED,
          true,
          new QueryFit.Settings(4, 4, 1e-2, 16_384),
          List.of(1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0));

  /** Nothing is refitted: a plan is measured as it is. */
  public static final RepairSettings NONE =
      new RepairSettings(
          Set.of(), Scope.SHARED, false, QueryFit.Settings.NONE, DEFAULT.strengths());

  /** Which layers are refitted. */
  public enum Scope {
    /** Those that share. */
    SHARED,
    /** All from the first that shares on: the others undo what is left of the error below. */
    FROM_FIRST_SHARED
  }

  /** The same for the reduced layers alone: nearer for windows, above which little is to undo. */
  public RepairSettings ofReducedLayers() {
    return new RepairSettings(parts, Scope.SHARED, ownToken, queries, strengths);
  }

  /** Checks the values. */
  public RepairSettings {
    parts = Set.copyOf(parts);
    strengths = List.copyOf(strengths);
    if (strengths.isEmpty()
        || strengths.stream().anyMatch(strength -> !(strength > 0))
        || !strengths.equals(strengths.stream().sorted().toList())) {
      throw new IllegalArgumentException(
          "strengths are " + strengths + "; expected positive numbers in ascending order.");
    }
  }

  /**
   * The usual repair of some parts alone: {@code attention}, {@code own-token}, {@code queries} and
   * {@code feed-forward}.
   *
   * @throws IllegalArgumentException if a part is not known, or own-token stands without attention
   */
  public static RepairSettings ofParts(Collection<String> names) {
    Set<Part> fitted = EnumSet.noneOf(Part.class);
    for (String name : names) {
      switch (name) {
        case "attention" -> fitted.add(Part.ATTENTION);
        case "feed-forward" -> fitted.add(Part.FEED_FORWARD);
        case "own-token", "queries" -> {}
        default ->
            throw new IllegalArgumentException(
                "'%s' is no part that is refitted; these are attention, own-token, queries, feed-forward"
                    .formatted(name));
      }
    }
    if (names.contains("own-token") && !fitted.contains(Part.ATTENTION)) {
      throw new IllegalArgumentException(
          "the own-token projection is fitted together with attention: add attention");
    }
    return new RepairSettings(
        fitted,
        DEFAULT.scope(),
        names.contains("own-token"),
        names.contains("queries") ? DEFAULT.queries() : QueryFit.Settings.NONE,
        DEFAULT.strengths());
  }
}
