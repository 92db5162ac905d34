package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.ModelSpec.SpecBuilder;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec.Part;
import dev.kvshare.apply.family.spec.WeightSpec.Weights;
import dev.kvshare.apply.model.ModelConfig;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.IntFunction;
import java.util.function.ObjIntConsumer;

/**
 * Llama 1 to 3 and what is built alike (SmolLM, TinyLlama, Yi, …), and the base of the families
 * that are built like it: separate projections of queries, keys and values, a feed-forward part
 * with a gate, one RMS norm before each part, no biases. A family says only what it does otherwise.
 */
final class LlamaFamily {
  private final ModelConfig config;
  private final Dimensions sizes;
  private final SpecBuilder spec;
  private IntFunction<AttentionSpec> attention;
  private IntFunction<FeedForwardSpec> feedForward;
  private NormSpec norm;
  private Placement placement = Placement.PRE;
  private double residualScale = 1;
  private boolean tiedWhereAbsent;
  private boolean queryKeyValueBias;
  private boolean outputBias;
  private boolean feedForwardBias;
  private ObjIntConsumer<Weights> attentionWeights = (weights, layer) -> attention(weights);
  private ObjIntConsumer<Weights> feedForwardWeights = (weights, layer) -> gated(weights);
  private ObjIntConsumer<Weights> normWeights = (weights, layer) -> norms(weights);

  LlamaFamily(ModelConfig config, Dimensions sizes) {
    this.config = config;
    this.sizes = sizes;
    this.spec = new SpecBuilder(config, sizes);
  }

  static ModelSpec llama(ModelConfig config, Set<String> tensors) {
    return new LlamaFamily(config, Dimensions.read(config)).configuredBiases().build();
  }

  /**
   * Attention over all positions with a rotary embedding of whole heads.
   *
   * @param base theta where the file has none
   */
  static AttentionSpec rotated(ModelConfig config, Dimensions sizes, double base) {
    return AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, base).read());
  }

  /** The attention of all layers. */
  LlamaFamily attention(AttentionSpec all) {
    return attention(layer -> all);
  }

  /** The attention of each layer. */
  LlamaFamily attention(IntFunction<AttentionSpec> ofLayer) {
    attention = ofLayer;
    return this;
  }

  /** The feed-forward part of all layers. */
  LlamaFamily feedForward(FeedForwardSpec all) {
    return feedForward(layer -> all);
  }

  /** The feed-forward part of each layer. */
  LlamaFamily feedForward(IntFunction<FeedForwardSpec> ofLayer) {
    feedForward = ofLayer;
    return this;
  }

  /** The norms of the layers and the final one. */
  LlamaFamily norm(NormSpec all) {
    norm = all;
    return this;
  }

  /** Where the norms stand; their tensors are named by {@link #normWeights}. */
  LlamaFamily placement(Placement ofNorms) {
    placement = ofNorms;
    return this;
  }

  /** What each part is multiplied by before it is added. */
  LlamaFamily residualScale(double scale) {
    residualScale = scale;
    return this;
  }

  /** Takes the head for the embedding where the file does not say. */
  LlamaFamily tiedWhereAbsent() {
    tiedWhereAbsent = true;
    return this;
  }

  /** Which projections have biases. */
  LlamaFamily biases(boolean ofQueryKeyValue, boolean ofOutput, boolean ofFeedForward) {
    queryKeyValueBias = ofQueryKeyValue;
    outputBias = ofOutput;
    feedForwardBias = ofFeedForward;
    return this;
  }

  /** Biases as {@code attention_bias} and {@code mlp_bias} say. */
  LlamaFamily configuredBiases() {
    boolean ofAttention = config.bool("attention_bias", false);
    return biases(ofAttention, ofAttention, config.bool("mlp_bias", false));
  }

  /** Names the projections of a layer's attention. */
  LlamaFamily attentionWeights(ObjIntConsumer<Weights> names) {
    attentionWeights = names;
    return this;
  }

  /** Names the projections of a layer's feed-forward part. */
  LlamaFamily feedForwardWeights(ObjIntConsumer<Weights> names) {
    feedForwardWeights = names;
    return this;
  }

  /** Names the norms of a layer. */
  LlamaFamily normWeights(ObjIntConsumer<Weights> names) {
    normWeights = names;
    return this;
  }

  /** What stands outside the layers and differs from Llama. */
  SpecBuilder spec() {
    return spec;
  }

  /** Describes the model. */
  ModelSpec build() {
    if (norm == null) {
      norm = NormSpec.rms(config, 1e-6);
    }
    if (attention == null) {
      attention(rotated(config, sizes, 10_000));
    }
    if (feedForward == null) {
      feedForward(FeedForwardSpec.gated(inner(), activation(config)));
    }
    Weights outer =
        new Weights("")
            .matrix(WeightRole.EMBEDDING, "model.embed_tokens", sizes.vocabulary(), sizes.hidden());
    norm(outer, WeightRole.FINAL_NORM, "model.norm");
    if (!config.bool("tie_word_embeddings", tiedWhereAbsent)) {
      outer.matrix(WeightRole.HEAD, "lm_head", sizes.vocabulary(), sizes.hidden());
    }
    spec.finalNorm(norm).outer(outer);
    for (int layer = 0; layer < sizes.layers(); layer++) {
      Weights weights = new Weights(prefix(layer));
      attentionWeights.accept(weights, layer);
      feedForwardWeights.accept(weights, layer);
      normWeights.accept(weights, layer);
      spec.layer(
          new BlockSpec(
              attention.apply(layer),
              feedForward.apply(layer),
              norm,
              placement,
              residualScale,
              weights.build()));
    }
    return spec.build();
  }

  /** {@code hidden_act}, SiLU where absent. */
  static Activation activation(ModelConfig config) {
    return Activation.read(config, "hidden_act", Activation.SILU);
  }

  /** What the names of a layer's tensors begin with. */
  static String prefix(int layer) {
    return "model.layers." + layer + ".";
  }

  /** Names separate projections under {@code self_attn}. */
  void attention(Weights weights) {
    weights.queryKeyValue(
        sizes, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", queryKeyValueBias);
    output(weights);
  }

  /** Names those of a layer that reads the keys and values of another one. */
  void queriesAlone(Weights weights) {
    weights.linear(
        WeightRole.QUERY_KEY_VALUE,
        "self_attn.q_proj",
        sizes.queryRows(),
        sizes.hidden(),
        queryKeyValueBias);
    output(weights);
  }

  private void output(Weights weights) {
    weights.linear(
        WeightRole.OUTPUT, "self_attn.o_proj", sizes.hidden(), sizes.queryRows(), outputBias);
  }

  /** Names norms of queries and keys, of the given numbers of entries. */
  void queryKeyNorms(Weights weights, int querySize, int keySize) {
    weights
        .norm(WeightRole.QUERY_NORM, "self_attn.q_norm", querySize)
        .norm(WeightRole.KEY_NORM, "self_attn.k_norm", keySize);
  }

  /** Names gate, up and down projections under {@code mlp}. */
  void gated(Weights weights) {
    weights
        .gateUp("mlp.gate_proj", "mlp.up_proj", inner(), sizes.hidden(), feedForwardBias)
        .linear(WeightRole.DOWN, "mlp.down_proj", sizes.hidden(), inner(), feedForwardBias);
  }

  /** Names one norm before each part. */
  void norms(Weights weights) {
    norm(weights, WeightRole.ATTENTION_NORM, "input_layernorm");
    norm(weights, WeightRole.FEED_FORWARD_NORM, "post_attention_layernorm");
  }

  /** Names one norm over the hidden size, with a bias if it is a layer norm. */
  void norm(Weights weights, WeightRole role, String name) {
    if (norm.kind() == NormSpec.Kind.LAYER) {
      weights.layerNorm(role, name, sizes.hidden());
    } else {
      weights.norm(role, name, sizes.hidden());
    }
  }

  /**
   * Names the router and the routed experts, which are stored one by one or all in one.
   *
   * @param tensors the names of all tensors
   * @param block what router and experts stand under, for example {@code mlp}
   * @param names gate, up and down projection of one expert
   */
  void experts(Weights weights, int layer, Set<String> tensors, String block, List<String> names) {
    FeedForwardSpec routed = feedForward.apply(layer);
    int hidden = sizes.hidden();
    int inner = routed.intermediateSize();
    int experts = routed.experts().count();
    weights.matrix(WeightRole.ROUTER, block + ".gate", experts, hidden);
    List<Part> gateUp = new ArrayList<>();
    List<Part> down = new ArrayList<>();
    String all = block + ".experts.";
    if (tensors.contains(prefix(layer) + all + "gate_up_proj")) {
      gateUp.add(weights.part(all + "gate_up_proj", experts, 2L * inner, hidden));
      down.add(weights.part(all + "down_proj", experts, hidden, inner));
    } else {
      for (int expert = 0; expert < experts; expert++) {
        String one = all + expert + ".";
        gateUp.add(weights.part(one + names.get(0) + ".weight", inner, hidden));
        gateUp.add(weights.part(one + names.get(1) + ".weight", inner, hidden));
        down.add(weights.part(one + names.get(2) + ".weight", hidden, inner));
      }
    }
    long gateUpRows = 2L * inner * experts;
    long downRows = (long) hidden * experts;
    weights.put(WeightRole.EXPERTS_GATE_UP, List.of(gateUpRows, (long) hidden), gateUp);
    weights.put(WeightRole.EXPERTS_DOWN, List.of(downRows, (long) inner), down);
  }

  private int inner() {
    return config.positive("intermediate_size");
  }
}
