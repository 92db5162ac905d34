package dev.kvshare.apply.family.spec;

import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.plan.KvUse;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * What a checkpoint computes, for every family. Letters: V vocabulary, E hidden size, Hq query
 * heads, Hkv key/value heads, D head size, F intermediate size, L layers, P positions.
 *
 * @param modelType {@code model_type} of the configuration
 * @param vocabularySize V
 * @param hiddenSize E
 * @param maxPositions the longest sequence that the model was made for
 * @param embeddingScale multiplies the token embedding
 * @param positionOffset rows before the first learned position (OPT: 2); unused without them
 * @param finalNorm the norm before the head; null for none
 * @param logitScale multiplies the logits
 * @param logitSoftCap bounds the logits by tanh; 0 for none
 * @param blocks the layers, bottom first
 * @param weights the tensors outside the layers by role
 * @param plan how the layers share as the checkpoint was trained: for most models not at all
 */
public record ModelSpec(
    String modelType,
    int vocabularySize,
    int hiddenSize,
    int maxPositions,
    double embeddingScale,
    int positionOffset,
    NormSpec finalNorm,
    double logitScale,
    double logitSoftCap,
    List<BlockSpec> blocks,
    Map<WeightRole, WeightSpec> weights,
    Plan plan) {

  public ModelSpec {
    blocks = List.copyOf(blocks);
    weights = Map.copyOf(weights);
  }

  /** L. */
  public int layers() {
    return blocks.size();
  }

  /** Hq of the first layer (the same in all supported families). */
  public int queryHeads() {
    return blocks.get(0).attention().queryHeads();
  }

  /** Hkv of the first layer (the same in all supported families). */
  public int keyValueHeads() {
    return blocks.get(0).attention().keyValueHeads();
  }

  /** D of the first layer (the same in all supported families). */
  public int headSize() {
    return blocks.get(0).attention().headSize();
  }

  /** P of a model with learned positions, else 0. */
  public int learnedPositions() {
    WeightSpec positions = weights.get(WeightRole.POSITIONS);
    return positions == null ? 0 : Math.toIntExact(positions.shape().get(0)) - positionOffset;
  }

  /** Whether the output head is the embedding. */
  public boolean tiedHead() {
    return !weights.containsKey(WeightRole.HEAD);
  }

  /** The same with a head of its own, of the shape of the embedding. */
  public ModelSpec withHead(String tensor) {
    Map<WeightRole, WeightSpec> all = new EnumMap<>(weights);
    List<Long> shape = weights.get(WeightRole.EMBEDDING).shape();
    WeightSpec.Part part = new WeightSpec.Part(tensor, shape, new WeightSpec.AsStored());
    all.put(WeightRole.HEAD, new WeightSpec(shape, List.of(part)));
    return new ModelSpec(
        modelType,
        vocabularySize,
        hiddenSize,
        maxPositions,
        embeddingScale,
        positionOffset,
        finalNorm,
        logitScale,
        logitSoftCap,
        blocks,
        all,
        plan);
  }

  /** Whether every layer was trained to read the keys and values that it makes itself. */
  public boolean isTrainedUnshared() {
    return plan.map().isIdentity() && !plan.hidesOwnToken();
  }

  /** What a generation under {@code plan} keeps of the keys and values of a text. */
  public KvUse kvUse(Plan plan) {
    boolean keysStay =
        blocks.stream()
            .map(block -> block.attention().rotary())
            .noneMatch(rotary -> rotary != null && rotary.hasTwoRegimes());
    return new KvUse(
        plan,
        blocks.stream()
            .map(BlockSpec::attention)
            .map(
                layer ->
                    new KvUse.Layer(layer.window(), 2L * layer.keyValueHeads() * layer.headSize()))
            .toList(),
        keysStay);
  }

  /** The lowest layer that reads one of another kind of attention, -1 for none. */
  public int acrossKinds(SharingMap map) {
    // What no layers could share at all is refused by the decoder.
    return IntStream.range(0, layers())
        .filter(
            layer ->
                mayShare(layer, map.source(layer), true) && !mayShare(layer, map.source(layer)))
        .findFirst()
        .orElse(-1);
  }

  /**
   * Whether {@code layer} may read the keys and values of {@code source}, which the checkpoint must
   * have weights for: the same key/value heads and head size, the same window (both full or both
   * sliding alike) and the same rotary embedding.
   */
  public boolean mayShare(int layer, int source) {
    return mayShare(layer, source, false);
  }

  /**
   * The same, {@code acrossKinds} also between sliding and full layers (other rotary embedding).
   */
  public boolean mayShare(int layer, int source, boolean acrossKinds) {
    AttentionSpec reader = blocks.get(layer).attention();
    AttentionSpec owner = blocks.get(source).attention();
    boolean sameKind =
        reader.window() == owner.window() && Objects.equals(reader.rotary(), owner.rotary());
    return blocks.get(source).makesKeysAndValues()
        && reader.sameCacheShape(owner)
        && (sameKind || acrossKinds);
  }
}
