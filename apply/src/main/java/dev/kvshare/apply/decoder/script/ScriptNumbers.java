package dev.kvshare.apply.decoder.script;

import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.plan.Plan;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * The numbers by which {@code decoder.py} knows what a model computes, in the order in which it
 * unpacks them. An instance holds those of the layers that depend on the plan as well as on the
 * model: windows, and whether a token sees itself.
 */
public final class ScriptNumbers implements AutoCloseable {

  /** A kind of attention that needs a mask of its own. */
  private record AttentionKind(
      long window, long sinks, long capped, long keyValueHeads, long ownHidden) {
    static AttentionKind of(AttentionSpec attention, Plan plan, int layer) {
      return new AttentionKind(
          plan.window(layer, attention.window()),
          plan.sinks(layer, attention.window()),
          flag(attention.softCap() > 0),
          attention.keyValueHeads(),
          flag(plan.hidesOwnToken(layer)));
    }

    /** The window that limits what is read of a cache; beside sinks the mask alone does. */
    long readWindow() {
      return sinks > 0 ? 0 : window;
    }
  }

  private final IValue ints;
  private final IValue floats;
  private final IValue kinds;

  /** Those of layers under a plan; rotary embeddings are numbered in the order given. */
  public ScriptNumbers(List<BlockSpec> blocks, List<RotarySpec> rotaryKinds, Plan plan) {
    List<AttentionKind> layerKinds = new ArrayList<>();
    for (int layer = 0; layer < blocks.size(); layer++) {
      layerKinds.add(AttentionKind.of(blocks.get(layer).attention(), plan, layer));
    }
    List<AttentionKind> distinct = layerKinds.stream().distinct().toList();
    this.ints =
        nested(
            IntStream.range(0, blocks.size()).boxed().toList(),
            layer -> {
              BlockSpec block = blocks.get(layer);
              AttentionKind kind = layerKinds.get(layer);
              int rotary = rotaryKinds.indexOf(block.attention().rotary());
              return ints(block, kind, distinct.indexOf(kind), rotary);
            });
    this.floats =
        nested(
            blocks,
            block ->
                IValue.listFrom(
                    block.norm().epsilon(),
                    block.attention().scale(),
                    block.attention().softCap(),
                    block.residualScale()));
    this.kinds =
        nested(
            distinct,
            kind ->
                IValue.listFrom(
                    kind.window, kind.capped, kind.keyValueHeads, kind.ownHidden, kind.sinks));
  }

  /** Ints, then floats of each layer. */
  public List<IValue> layers() {
    return List.of(ints, floats);
  }

  /** The distinct kinds of attention. */
  public IValue kinds() {
    return kinds;
  }

  @Override
  public void close() {
    ints.close();
    floats.close();
    kinds.close();
  }

  /** Ints outside the layers. */
  public static IValue modelInts(ModelSpec spec) {
    return IValue.listFrom(
        flag(spec.finalNorm() != null),
        code(spec.finalNorm(), spec.weights().containsKey(WeightRole.FINAL_NORM_BIAS)),
        flag(spec.weights().containsKey(WeightRole.HEAD_BIAS)),
        spec.positionOffset());
  }

  /** Floats outside the layers. */
  public static IValue modelFloats(ModelSpec spec) {
    return IValue.listFrom(
        spec.finalNorm() == null ? 0 : spec.finalNorm().epsilon(),
        spec.embeddingScale(),
        spec.logitScale(),
        spec.logitSoftCap());
  }

  /** One list of what each entry becomes. */
  public static <T> IValue nested(List<T> entries, Function<T, IValue> toList) {
    IValue[] lists = entries.stream().map(toList).toArray(IValue[]::new);
    IValue nested = IValue.listFrom(lists);
    for (IValue list : lists) {
      list.close();
    }
    return nested;
  }

  /** 1 for true. */
  public static long flag(boolean value) {
    return value ? 1 : 0;
  }

  private static IValue ints(BlockSpec block, AttentionKind kind, int kindNumber, int rotary) {
    AttentionSpec attention = block.attention();
    FeedForwardSpec feedForward = block.feedForward();
    FeedForwardSpec.Experts experts = feedForward.experts();
    return IValue.listFrom(
        switch (block.placement()) {
          case PRE -> 0;
          case POST -> 1;
          case BOTH -> 2;
          case PARALLEL -> 3;
          case AFTER_RESIDUAL -> 4;
        },
        code(
            block.norm(),
            block.weights().containsKey(WeightRole.ATTENTION_NORM_BIAS)
                || block.weights().containsKey(WeightRole.ATTENTION_POST_NORM_BIAS)),
        attention.queryHeads(),
        attention.keyValueHeads(),
        attention.headSize(),
        kindNumber,
        kind.readWindow(),
        rotary,
        switch (attention.queryKeyNorm()) {
          case NONE -> 0;
          case PER_HEAD -> 1;
          case EACH_HEAD -> 2;
          case WHOLE -> 3;
        },
        flag(block.weights().containsKey(WeightRole.QUERY_KEY_VALUE_BIAS)),
        flag(block.weights().containsKey(WeightRole.OUTPUT_BIAS)),
        flag(block.weights().containsKey(WeightRole.GATE_UP_BIAS)),
        flag(block.weights().containsKey(WeightRole.DOWN_BIAS)),
        flag(feedForward.gated()),
        switch (feedForward.activation()) {
          case SILU -> 0;
          case GELU -> 1;
          case GELU_TANH -> 2;
          case RELU -> 3;
        },
        experts == null ? 0 : experts.count(),
        experts == null ? 0 : experts.perToken(),
        flag(experts != null && experts.normalised()),
        kind.ownHidden);
  }

  /** The code of a norm, which may be null. */
  private static long code(NormSpec norm, boolean biased) {
    if (norm == null || norm.kind() != NormSpec.Kind.LAYER) {
      return 0;
    }
    return biased ? 1 : 2;
  }
}
