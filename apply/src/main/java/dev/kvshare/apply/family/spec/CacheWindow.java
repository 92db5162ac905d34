package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.plan.Plan;
import java.util.stream.IntStream;

/**
 * The tokens of an owning layer that its readers, itself included, may still see: the first ones of
 * a text and the last ones.
 *
 * @param sinks first tokens
 * @param recent last tokens, the current one included; 0 where some reader sees everything
 * @param ofPlan whether the sharing plan restricts every reader, not the model alone
 */
public record CacheWindow(int sinks, int recent, boolean ofPlan) {
  private static final CacheWindow WHOLE = new CacheWindow(0, 0, false);

  /** That of {@code owner} in a model under a plan. */
  public static CacheWindow of(ModelSpec spec, Plan plan, int owner) {
    int[] readers =
        IntStream.range(0, spec.layers())
            .filter(layer -> plan.map().source(layer) == owner)
            .toArray();
    int sinks = 0;
    int recent = 0;
    for (int reader : readers) {
      int modelWindow = spec.blocks().get(reader).attention().window();
      int window = plan.window(reader, modelWindow);
      if (window == 0) {
        return WHOLE;
      }
      recent = Math.max(recent, window);
      sinks = Math.max(sinks, plan.sinks(reader, modelWindow));
    }
    // A window that no text outgrows is none.
    return (long) sinks + recent >= Integer.MAX_VALUE
        ? WHOLE
        : new CacheWindow(sinks, recent, plan.restricts(owner));
  }

  /** Whether some tokens of a long text are seen no more. */
  public boolean isBounded() {
    return recent > 0;
  }

  /** The most tokens that are of use at a time. */
  public int tokens() {
    return isBounded() ? sinks + recent : Integer.MAX_VALUE;
  }
}
