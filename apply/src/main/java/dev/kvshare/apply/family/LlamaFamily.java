package dev.kvshare.apply.family;

import dev.kvshare.apply.family.spec.AttentionSpec;
import dev.kvshare.apply.family.spec.BlockSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec;
import dev.kvshare.apply.family.spec.BlockSpec.FeedForwardSpec.Activation;
import dev.kvshare.apply.family.spec.BlockSpec.NormSpec;
import dev.kvshare.apply.family.spec.BlockSpec.Placement;
import dev.kvshare.apply.family.spec.Dimensions;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.RotaryConfig;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec.Part;
import dev.kvshare.apply.family.spec.WeightSpec.Weights;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.plan.Plan;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.function.IntFunction;
import java.util.function.ObjIntConsumer;
import java.util.stream.IntStream;

/**
 * Llama 1 to 3 and what is built alike (SmolLM, TinyLlama, Yi, …), and the base of all other
 * families: separate projections of queries, keys and values, a feed-forward part with a gate, one
 * RMS norm before each part, no biases. A family sets only the fields in which it differs.
 */
final class LlamaFamily {
  private final ModelConfig config;
  private final Dimensions sizes;

  /** The norms of the layers and the final one. */
  NormSpec norm;

  boolean hasFinalNorm = true;

  /** Where the norms stand; {@link #normWeights} names their tensors. */
  Placement placement = Placement.PRE;

  IntFunction<AttentionSpec> attention;
  IntFunction<FeedForwardSpec> feedForward;
  double embeddingScale = 1;

  /** Multiplies what each part adds to the residual stream. */
  double residualScale = 1;

  double logitScale = 1;
  double logitSoftCap;

  /** Rows before the first learned position. */
  int positionOffset;

  /** How the layers share as they were trained. */
  Plan plan;

  /** Whether the head is the embedding where the file does not say. */
  boolean tiedWhereAbsent;

  boolean queryKeyValueBias;
  boolean outputBias;
  boolean feedForwardBias;

  /** Embedding, positions and final norm; the head has the shape of the embedding. */
  Weights outer;

  String head = "lm_head";
  String layerPrefix = "model.layers.";
  ObjIntConsumer<Weights> attentionWeights = (weights, layer) -> attention(weights);
  ObjIntConsumer<Weights> feedForwardWeights = (weights, layer) -> gated(weights);
  ObjIntConsumer<Weights> normWeights =
      (weights, layer) -> norms(weights, "input_layernorm", "post_attention_layernorm");

  LlamaFamily(ModelConfig config, Dimensions sizes) {
    this.config = config;
    this.sizes = sizes;
    this.plan = Plan.identity(sizes.layers());
  }

  static ModelSpec llama(ModelConfig config, Set<String> tensors) {
    LlamaFamily model = new LlamaFamily(config, Dimensions.read(config));
    model.configuredBiases();
    return model.build();
  }

  /** Attention over all positions, whole heads rotated; {@code base} is theta where absent. */
  static AttentionSpec rotated(ModelConfig config, Dimensions sizes, double base) {
    return AttentionSpec.usual(sizes, new RotaryConfig(config, sizes, base).read());
  }

  /** Biases as {@code attention_bias} and {@code mlp_bias} say. */
  void configuredBiases() {
    attentionBiases();
    feedForwardBias = config.bool("mlp_bias", false);
  }

  /** Biases of attention as {@code attention_bias} says. */
  void attentionBiases() {
    queryKeyValueBias = config.bool("attention_bias", false);
    outputBias = queryKeyValueBias;
  }

  ModelSpec build() {
    if (norm == null) {
      norm = NormSpec.rms(config, 1e-6);
    }
    if (attention == null) {
      AttentionSpec all = rotated(config, sizes, 10_000);
      attention = layer -> all;
    }
    if (feedForward == null) {
      FeedForwardSpec all = FeedForwardSpec.gated(inner(), activation(config));
      feedForward = layer -> all;
    }
    if (outer == null) {
      outer = new Weights("");
      outer.matrix(WeightRole.EMBEDDING, "model.embed_tokens", sizes.vocabulary(), sizes.hidden());
      norm(outer, WeightRole.FINAL_NORM, "model.norm");
    }
    if (!config.bool("tie_word_embeddings", tiedWhereAbsent)) {
      List<Long> shape = outer.build().get(WeightRole.EMBEDDING).shape();
      outer.addAll(new Weights("").matrix(WeightRole.HEAD, head, shape.get(0), shape.get(1)));
    }
    return new ModelSpec(
        config.modelType(),
        sizes.vocabulary(),
        sizes.hidden(),
        IntStream.range(0, sizes.layers())
            .mapToObj(layer -> attention.apply(layer).rotary())
            .filter(Objects::nonNull)
            .mapToInt(rotary -> rotary.positions(sizes.maxPositions()))
            .min()
            .orElse(sizes.maxPositions()),
        embeddingScale,
        positionOffset,
        hasFinalNorm ? norm : null,
        logitScale,
        logitSoftCap,
        IntStream.range(0, sizes.layers()).mapToObj(this::block).toList(),
        outer.build(),
        plan);
  }

  private BlockSpec block(int layer) {
    Weights weights = new Weights(prefix(layer));
    attentionWeights.accept(weights, layer);
    feedForwardWeights.accept(weights, layer);
    normWeights.accept(weights, layer);
    return new BlockSpec(
        attention.apply(layer),
        feedForward.apply(layer),
        norm,
        placement,
        residualScale,
        weights.build());
  }

  /** {@code hidden_act}, SiLU where absent. */
  static Activation activation(ModelConfig config) {
    return Activation.read(config, "hidden_act", Activation.SILU);
  }

  /** What the names of a layer's tensors begin with. */
  String prefix(int layer) {
    return layerPrefix + layer + ".";
  }

  /** Names separate projections under {@code self_attn}. */
  void attention(Weights weights) {
    weights.queryKeyValue(
        sizes, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", queryKeyValueBias);
    output(weights, "self_attn.o_proj");
  }

  /** Names those of a layer that reads the keys and values of another one. */
  void queriesAlone(Weights weights) {
    weights.linear(
        WeightRole.QUERY_KEY_VALUE,
        "self_attn.q_proj",
        sizes.queryRows(),
        sizes.hidden(),
        queryKeyValueBias);
    output(weights, "self_attn.o_proj");
  }

  /** Names the output projection of attention. */
  void output(Weights weights, String name) {
    weights.linear(WeightRole.OUTPUT, name, sizes.hidden(), sizes.queryRows(), outputBias);
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

  /** Names up and down projections without a gate. */
  void plain(Weights weights, String up, String down) {
    int inner = feedForward.apply(0).intermediateSize();
    weights
        .linear(WeightRole.GATE_UP, up, inner, sizes.hidden(), feedForwardBias)
        .linear(WeightRole.DOWN, down, sizes.hidden(), inner, feedForwardBias);
  }

  /** Names one norm before each part. */
  void norms(Weights weights, String ofAttention, String ofFeedForward) {
    norm(weights, WeightRole.ATTENTION_NORM, ofAttention);
    norm(weights, WeightRole.FEED_FORWARD_NORM, ofFeedForward);
  }

  /** Names one norm behind each part. */
  void postNorms(Weights weights, String ofAttention, String ofFeedForward) {
    norm(weights, WeightRole.ATTENTION_POST_NORM, ofAttention);
    norm(weights, WeightRole.FEED_FORWARD_POST_NORM, ofFeedForward);
  }

  /** Names one norm over the hidden size, with a bias if it is a layer norm. */
  void norm(Weights weights, WeightRole role, String name) {
    if (norm.kind() == NormSpec.Kind.LAYER) {
      weights.layerNorm(role, name, sizes.hidden());
    } else {
      weights.norm(role, name, sizes.hidden());
    }
  }

  /** Names the router and the experts under {@code block}, stored one by one or all in one. */
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
