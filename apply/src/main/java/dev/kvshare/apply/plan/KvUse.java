package dev.kvshare.apply.plan;

import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;

/**
 * What a generation keeps of the keys and values of a text under a plan, for one sequence and
 * without a cache policy: tokens, bytes and the share of the unshared model's cache. Everything
 * that states a saving computes it here.
 *
 * <p>A layer that owns a cache keeps all tokens, unless windows of the plan hide those between the
 * first and the last from all of its readers, itself included. Windows of the model itself drop
 * nothing here: the decoder masks what they hide.
 *
 * @param plan what every layer does
 * @param layers those of the model, bottom first
 * @param keysStay whether cached keys stay as they are while a text grows; where all are computed
 *     anew once it has grown long, none can be dropped
 */
public record KvUse(Plan plan, List<Layer> layers, boolean keysStay) {
  /**
   * What a model says of the cache of one layer.
   *
   * @param window tokens that its attention sees, the current one included; 0 for all
   * @param elements of the keys and values of one token: 2 x Hkv x D
   */
  public record Layer(int window, long elements) {}

  /**
   * The tokens of an owning layer that its readers may still see.
   *
   * @param first first tokens of the text
   * @param last last tokens, the current one included; 0 where some reader sees everything
   * @param ofPlan whether windows of the plan bound every reader, not those of the model alone
   */
  public record Kept(int first, int last, boolean ofPlan) {
    private static final Kept WHOLE = new Kept(0, 0, false);

    /** Whether some tokens of a long text are seen no more. */
    public boolean isBounded() {
      return last > 0;
    }

    /** The most tokens that are of use at a time. */
    public int tokens() {
      return isBounded() ? first + last : Integer.MAX_VALUE;
    }
  }

  public KvUse {
    layers = List.copyOf(layers);
  }

  /** For a model whose layers are alike and see whole texts. */
  public static KvUse alike(Plan plan, long elements) {
    return new KvUse(plan, Collections.nCopies(plan.map().layers(), new Layer(0, elements)), true);
  }

  /** What the readers of {@code owner} may still see. */
  public Kept kept(int owner) {
    int first = 0;
    int last = 0;
    for (int reader = 0; reader < layers.size(); reader++) {
      if (plan.map().source(reader) == owner) {
        int ofModel = layers.get(reader).window();
        int window = plan.window(reader, ofModel);
        if (window == 0) {
          return Kept.WHOLE;
        }
        last = Math.max(last, window);
        first = Math.max(first, plan.sinks(reader, ofModel));
      }
    }
    // A window that no text outgrows is none.
    return (long) first + last >= Integer.MAX_VALUE
        ? Kept.WHOLE
        : new Kept(first, last, plan.restricts(owner));
  }

  /** Tokens that an owning layer keeps of a text of any length. */
  private int bound(int owner) {
    Kept kept = kept(owner);
    return keysStay && kept.ofPlan() ? kept.tokens() : Integer.MAX_VALUE;
  }

  /** Whether tokens are dropped that the plan's windows hide from all layers. */
  public boolean dropsTokens() {
    return wholeTextLayers() < plan.map().ownedLayers();
  }

  /** How many layers keep the keys and values of the whole text. */
  public int wholeTextLayers() {
    return (int) owners().filter(owner -> bound(owner) == Integer.MAX_VALUE).count();
  }

  /**
   * Bytes that one further token of a long text adds, once the windows are full.
   *
   * @param bytesPerElement 4 for float32, 2 for bfloat16 and float16
   */
  public long bytesPerToken(int bytesPerElement) {
    return owners()
        .filter(owner -> bound(owner) == Integer.MAX_VALUE)
        .mapToLong(owner -> layers.get(owner).elements() * bytesPerElement)
        .sum();
  }

  /**
   * Bytes that are kept of a text.
   *
   * @param tokens of the text
   * @param bytesPerElement as above
   */
  public long bytes(long tokens, int bytesPerElement) {
    return owners()
        .mapToLong(
            owner ->
                Math.min(tokens, bound(owner)) * layers.get(owner).elements() * bytesPerElement)
        .sum();
  }

  /** Bytes that the unshared model keeps of a text. */
  public long unsharedBytes(long tokens, int bytesPerElement) {
    return tokens * bytesPerElement * layers.stream().mapToLong(Layer::elements).sum();
  }

  /** The share of the unshared model's cache that is kept of a text of so many tokens. */
  public double fraction(long tokens) {
    return (double) bytes(tokens, 1) / unsharedBytes(tokens, 1);
  }

  private IntStream owners() {
    return IntStream.range(0, layers.size()).filter(plan.map()::ownsCache);
  }
}
