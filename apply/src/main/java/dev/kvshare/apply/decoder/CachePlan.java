package dev.kvshare.apply.decoder;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.CachePolicy.KeyValueFormat;
import dev.kvshare.apply.cache.KeepRule;
import dev.kvshare.apply.cache.KeepRule.EvictionTime;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.PolicyException;
import java.util.ArrayList;
import java.util.List;

/**
 * A cache policy laid over the layers of a model: what each owning layer keeps and how many bytes
 * that takes.
 *
 * <p>A layer that no reader without a sliding window reads keeps its window and nothing else where
 * the policy would give it as many slots or more: that loses nothing. A policy that drops nothing
 * leaves the windows of the model itself alone, and with scales of channels, which need
 * neighbouring tokens, those of the sharing plan as well.
 */
public final class CachePlan {
  /** Slots are allocated in blocks, up to the bound; growing copies what is there. */
  private static final int BLOCK = 64;

  /** The part of a long text that a block has, as a power of two. */
  private static final int BLOCK_PART = 4;

  private final ModelSpec spec;
  private final Plan sharing;
  private final CachePolicy policy;
  private final ComputeType type;
  private final List<KeepRule> rules = new ArrayList<>();
  private final List<KvUse.Kept> windows = new ArrayList<>();
  private final List<Integer> alike = new ArrayList<>();
  private int reach;

  /** What decides which tokens of which slots a layer sees, scores of attention apart. */
  private record Sight(
      KeepRule rule, KvUse.Kept kept, int window, int sinks, boolean capped, int keyValueHeads) {}

  /**
   * @param promptTokens tokens of the longest prompt
   * @throws PolicyException.Unsupported when the policy's settings do not fit the prompt
   */
  CachePlan(ModelSpec spec, Plan sharing, CachePolicy policy, ComputeType type, int promptTokens) {
    this.spec = spec;
    this.sharing = sharing;
    this.policy = policy;
    this.type = type;
    SharingMap map = sharing.map();
    List<Integer> owners = map.owners();
    List<Sight> sights = new ArrayList<>();
    KvUse use = spec.kvUse(sharing);
    for (int layer = 0; layer < map.layers(); layer++) {
      int source = map.source(layer);
      KvUse.Kept window = use.kept(source);
      KeepRule asked = asked(owners.indexOf(source), owners.size(), promptTokens);
      KeepRule rule = within(window, asked);
      windows.add(window);
      rules.add(rule);
      AttentionSpec attention = spec.blocks().get(layer).attention();
      sights.add(
          new Sight(
              rule,
              window,
              sharing.window(layer, attention.window()),
              sharing.sinks(layer, attention.window()),
              attention.softCap() > 0,
              attention.keyValueHeads()));
      alike.add(sights.indexOf(sights.get(layer)));
      reach = rule.cachePositions() ? asked.slots() : reach;
    }
  }

  /** Refuses with the reason what makes no sense, whatever the prompt. */
  static void check(ModelSpec spec, Plan sharing, CachePolicy policy) {
    SharingMap map = sharing.map();
    if (map.hasUpwardSources() || sharing.hidesOwnToken()) {
      throw new PolicyException.Unsupported(
          "the cache policy %s cannot be combined with a sharing map whose sources lie above their readers: %s. Use a map with sources below, or no cache policy."
              .formatted(policy.name(), map));
    }
    if (policy.endless() && spec.learnedPositions() > 0) {
      throw new PolicyException.Unsupported(
          "%s gives tokens new positions inside the cache, which a %s model with learned positions cannot do: positions are part of its embeddings. Use h2o, snapkv or pyramid."
              .formatted(policy.name(), spec.modelType()));
    }
    if (policy.endless()
        && spec.blocks().stream()
            .map(block -> block.attention().rotary())
            .anyMatch(rotary -> rotary != null && rotary.dependsOnLength())) {
      throw new PolicyException.Unsupported(
          "%s gives tokens new positions inside the cache, but the rotary embedding of this %s model depends on the length of the text. Use h2o, snapkv or pyramid."
              .formatted(policy.name(), spec.modelType()));
    }
  }

  /** What the source of {@code layer} keeps. */
  public KeepRule rule(int layer) {
    return rules.get(layer);
  }

  /** Whether some layer's attention decides what is kept. */
  boolean observes() {
    return rules.stream().anyMatch(rule -> rule.observation().isActive());
  }

  /** Tokens of the cache inside which layers count positions; 0 when none does. */
  public int reach() {
    return reach;
  }

  /** What the readers of the source of {@code layer} see. */
  public KvUse.Kept window(int layer) {
    return windows.get(layer);
  }

  /**
   * The first and last tokens that {@code layer} sees of those in its slots, where a window of the
   * plan with first tokens or positions inside the cache (StreamingLLM) bound it: what both leave
   * of the first and of the last ones.
   */
  public KvUse.Kept seen(int layer) {
    int first = sharing.sinks(layer, modelWindow(layer));
    int last = first > 0 ? sharing.window(layer, modelWindow(layer)) : 0;
    KeepRule rule = rule(layer);
    if (rule.cachePositions()) {
      first = last == 0 ? rule.sinks() : Math.min(first, rule.sinks());
      last = last == 0 ? rule.recent() : Math.min(last, rule.recent());
    }
    return new KvUse.Kept(first, last, false);
  }

  private int modelWindow(int layer) {
    return spec.blocks().get(layer).attention().window();
  }

  /** The lowest layer that sees the same as {@code layer} while scores of attention are alike. */
  int alike(int layer) {
    return alike.get(layer);
  }

  /** That of keys and values. */
  public KeyValueFormat format() {
    return policy.format();
  }

  /** That of the decoder. */
  ComputeType type() {
    return type;
  }

  /** Tokens that an owning layer keeps of a text, when the prompt has been read. */
  private int kept(int owner, int promptTokens, int textTokens) {
    KeepRule rule = rule(owner);
    if (rule.boundsDecoding()) {
      return Math.min(rule.slots(), textTokens);
    }
    int ofPrompt =
        rule.time() == EvictionTime.AFTER_PROMPT
            ? Math.min(rule.slots(), promptTokens)
            : promptTokens;
    return ofPrompt + textTokens - promptTokens;
  }

  /** Slots to allocate for so many tokens of a layer that may keep {@code bound}. */
  static int slots(int tokens, int bound) {
    int block = Math.max(BLOCK, Integer.highestOneBit(tokens) >> BLOCK_PART);
    return Math.min(bound, (Math.max(1, tokens) + block - 1) / block * block);
  }

  /** Whether attention to the tokens of an owning layer is added up. */
  public boolean scored(int owner, boolean promptRead) {
    KeepRule rule = rule(owner);
    return rule.observation().isActive()
        && !(promptRead && rule.time() == EvictionTime.AFTER_PROMPT);
  }

  /** Bytes of an owning layer with so many slots for one sequence, when the prompt is behind. */
  private long bytesOf(int owner, int slots) {
    AttentionSpec attention = spec.blocks().get(owner).attention();
    int size = attention.headSize();
    int integers = size * policy.format().bits() / Byte.SIZE;
    int numbers = scored(owner, true) ? 2 : 1;
    long perHead =
        switch (policy.format()) {
          case COMPUTE_TYPE -> slots * (4L * numbers + 2L * size * type.bytes());
          case INT8_PER_TOKEN, INT4_PER_TOKEN ->
              slots * (4L * numbers + 2L * (integers + Float.BYTES));
          case INT8_PER_CHANNEL, INT4_PER_CHANNEL ->
              slots * (4L * numbers + 2L * integers + Float.BYTES)
                  + (long) slots / KeyValueFormat.GROUP * size * Float.BYTES
                  + (long) KeyValueFormat.GROUP * size * type.bytes();
        };
    return attention.keyValueHeads() * perHead;
  }

  /** Bytes of all layers for one sequence, when a text of so many tokens has been read. */
  long bytes(int promptTokens, int textTokens) {
    return sharing.map().owners().stream()
        .mapToLong(
            owner -> {
              KeepRule rule = rule(owner);
              int kept = kept(owner, promptTokens, textTokens);
              int bound = rule.boundsDecoding() ? rule.slots() : KeepRule.NO_BOUND;
              return bytesOf(owner, slots(kept, bound));
            })
        .sum();
  }

  private KeepRule asked(int rank, int owners, int promptTokens) {
    try {
      return policy.rule(rank, owners, promptTokens);
    } catch (IllegalArgumentException e) {
      throw new PolicyException.Unsupported(
          "the cache policy %s does not fit a prompt of %d tokens: %s"
              .formatted(policy.name(), promptTokens, e.getMessage()));
    }
  }

  /** The window where the policy leaves room for all of it, else what the policy says. */
  private KeepRule within(KvUse.Kept window, KeepRule asked) {
    boolean mayDrop =
        asked.time() != EvictionTime.NEVER || (window.ofPlan() && !policy.format().byChannel());
    if (!mayDrop || !window.isBounded() || asked.slots() < window.tokens()) {
      return asked;
    }
    // Only towards sinks do positions inside the cache differ from those of the text.
    boolean cachePositions = asked.cachePositions() && window.first() > 0;
    return KeepRule.window(window.first(), window.last(), cachePositions);
  }
}
