package dev.kvshare.apply.decoder.script;

import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.RotarySpec;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.plan.Plan;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The ints of each layer as {@code decoder.py} unpacks them, and the kinds of attention that they
 * name. Windows, and whether a token sees itself, depend on the sharing plan as well as on the
 * model.
 */
public final class LayerNumbers implements AutoCloseable {

  /** A kind of attention that needs a mask of its own. */
  private record AttentionKind(
      long window, long sinks, long capped, long keyValueHeads, long ownHidden) {
    static AttentionKind of(AttentionSpec attention, Plan plan, int layer) {
      return new AttentionKind(
          plan.window(layer, attention.window()),
          plan.sinks(layer, attention.window()),
          ScriptArguments.flag(attention.softCap() > 0),
          attention.keyValueHeads(),
          ScriptArguments.flag(plan.hidesOwnToken(layer)));
    }

    /** The window that limits what is read of a cache; beside sinks the mask alone does. */
    long readWindow() {
      return sinks > 0 ? 0 : window;
    }
  }

  private final IValue ints;
  private final IValue kinds;

  /**
   * @param rotaryKinds the distinct rotary embeddings in the order of their numbers
   */
  LayerNumbers(List<BlockSpec> blocks, List<RotarySpec> rotaryKinds, Plan plan) {
    List<AttentionKind> layerKinds = new ArrayList<>();
    for (int layer = 0; layer < blocks.size(); layer++) {
      layerKinds.add(AttentionKind.of(blocks.get(layer).attention(), plan, layer));
    }
    List<AttentionKind> distinct = layerKinds.stream().distinct().toList();
    List<Integer> layers = IntStream.range(0, blocks.size()).boxed().toList();
    this.ints =
        LayerArguments.nested(
            layers,
            layer -> {
              BlockSpec block = blocks.get(layer);
              AttentionKind kind = layerKinds.get(layer);
              int rotary = rotaryKinds.indexOf(block.attention().rotary());
              return ints(block, kind, distinct.indexOf(kind), rotary);
            });
    this.kinds =
        LayerArguments.nested(
            distinct,
            kind ->
                IValue.listFrom(
                    kind.window, kind.capped, kind.keyValueHeads, kind.ownHidden, kind.sinks));
  }

  /** Ints of each layer. */
  public IValue ints() {
    return ints;
  }

  /** The distinct kinds of attention. */
  public IValue kinds() {
    return kinds;
  }

  @Override
  public void close() {
    ints.close();
    kinds.close();
  }

  private static IValue ints(BlockSpec block, AttentionKind kind, int kindNumber, int rotary) {
    AttentionSpec attention = block.attention();
    FeedForwardSpec feedForward = block.feedForward();
    FeedForwardSpec.Experts experts = feedForward.experts();
    return IValue.listFrom(
        ScriptCodes.of(block.placement()),
        ScriptCodes.of(
            block.norm(),
            block.weights().containsKey(WeightRole.ATTENTION_NORM_BIAS)
                || block.weights().containsKey(WeightRole.ATTENTION_POST_NORM_BIAS)),
        attention.queryHeads(),
        attention.keyValueHeads(),
        attention.headSize(),
        kindNumber,
        kind.readWindow(),
        rotary,
        ScriptCodes.of(attention.queryKeyNorm()),
        ScriptArguments.flag(block.weights().containsKey(WeightRole.QUERY_KEY_VALUE_BIAS)),
        ScriptArguments.flag(block.weights().containsKey(WeightRole.OUTPUT_BIAS)),
        ScriptArguments.flag(block.weights().containsKey(WeightRole.GATE_UP_BIAS)),
        ScriptArguments.flag(block.weights().containsKey(WeightRole.DOWN_BIAS)),
        ScriptArguments.flag(feedForward.gated()),
        ScriptCodes.of(feedForward.activation()),
        experts == null ? 0 : experts.count(),
        experts == null ? 0 : experts.perToken(),
        ScriptArguments.flag(experts != null && experts.normalised()),
        kind.ownHidden);
  }
}
