package dev.kvshare.apply.decoder;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.cache.CachePolicy.WholeText;
import dev.kvshare.apply.decoder.DecoderOptions.WeightForm;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.decoder.script.PyTorchRuntime;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.decoder.weights.ModelWeights;
import dev.kvshare.apply.decoder.weights.WeightLoader;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.family.spec.ReplaceableWeights;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.RefittedWeights;
import java.util.HashSet;
import java.util.Map;
import java.util.SortedMap;

/**
 * Runs a checkpoint. Letters: B batch, T tokens, E hidden size, V vocabulary. Not safe for use by
 * several threads at once.
 *
 * <p>A result belongs to the manager of the tensor given ({@code ids} or {@code hidden}); that of
 * {@link #prefill} to the decoder. A caller closes each result, or makes inputs and results in a
 * sub-manager of {@link #newManager()} that it closes.
 */
public final class Decoder implements AutoCloseable {
  private final ModelSpec spec;
  private final PtNDManager manager;
  private final ScriptModule script;
  private final KvCache.Storage storage;
  private final ModelWeights weights;
  private final RotaryTables rotary;
  private final ScriptCalls calls;
  private final InputChecks checks;
  private final PlainRun plain;
  private final CompressedRun compressed;

  private Decoder(
      ModelSpec spec, Checkpoint checkpoint, PtNDManager manager, DecoderOptions options) {
    ComputeType type = options.computeType();
    this.spec = spec;
    this.manager = manager;
    this.script = new ScriptModule(manager, Decoder.class, "compressed.py");
    boolean all = options.residency() == WeightResidency.ALL;
    this.weights =
        new ModelWeights(
            spec,
            new WeightLoader(checkpoint, script, manager, type, all, new HashSet<>()),
            manager,
            script,
            script.productForm(manager, type, options.weights() == WeightForm.INT8),
            all);
    this.storage = new KvCache.Storage(spec, script, type, manager, weights);
    this.rotary = new RotaryTables(script, manager, type, weights.rotaryKinds());
    this.calls = new ScriptCalls(script, weights, rotary);
    this.checks = new InputChecks(spec);
    this.plain = new PlainRun(storage, checks, calls, rotary);
    this.compressed = new CompressedRun(storage, checks, calls, rotary);
  }

  /**
   * Reads the weights. Those that are mapped from the file stay valid after the checkpoint is
   * closed; with {@link WeightResidency#ONE_LAYER} the checkpoint must stay open.
   *
   * @throws dev.kvshare.apply.model.CheckpointException.Unsupported when the configuration asks for
   *     something that the decoder does not compute
   * @throws dev.kvshare.apply.model.CheckpointException.Mismatch when the tensors do not fit the
   *     configuration
   */
  public static Decoder load(Checkpoint checkpoint, DecoderOptions options) {
    ModelSpec spec = ModelFamilies.spec(checkpoint);
    PtNDManager manager = PyTorchRuntime.newManager(options.device());
    try {
      PyTorchRuntime.setThreads(options.threads());
      return new Decoder(spec, checkpoint, manager, options);
    } catch (RuntimeException e) {
      manager.close();
      throw e;
    }
  }

  /** What the checkpoint computes. */
  public ModelSpec spec() {
    return spec;
  }

  /** A manager on the decoder's device, for inputs and results; the caller closes it. */
  public NDManager newManager() {
    return manager.newSubManager();
  }

  /**
   * Tokens of all rows times layers that ran so far, whole or by {@link #parts()}: what {@link
   * #prefill} saves, and what passes over layers that read from above cost, is seen here. A layer
   * that computes keys and values alone does not count.
   */
  public long layerTokens() {
    return weights.layerTokens();
  }

  /**
   * Layers that were read from the checkpoint while running: 0 where all weights are in memory. The
   * output head counts as a layer.
   */
  public long layerReads() {
    return weights.layerReads();
  }

  /** Whether a layer is read from the checkpoint each time that another one ran before it. */
  public boolean readsLayers() {
    return weights.isOffloaded();
  }

  /**
   * An empty cache for the checkpoint's weights. Only layers that keep their own keys and values
   * have tensors.
   *
   * @param map which layer reads whose keys and values
   * @param batch B
   * @param initialCapacity positions allocated at once; more are added in blocks when needed
   * @throws dev.kvshare.apply.policy.PolicyException when the model cannot be run under the map
   */
  public KvCache newCache(SharingMap map, int batch, int initialCapacity) {
    return newCache(CacheOptions.of(map), batch, initialCapacity);
  }

  /**
   * As {@link #newCache(SharingMap, int, int)}; every run with the cache follows its options. Where
   * a source lies above its reader, {@link #layers}, {@link #forward} and {@link #prefill} run
   * several new tokens as the plan says: by passes over all of them, or one after another.
   *
   * @throws dev.kvshare.apply.policy.PolicyException when the model cannot be run under the plan
   */
  public KvCache newCache(CacheOptions options, int batch, int initialCapacity) {
    InputChecks.plan(spec, options.plan());
    return new KvCache(storage, options, batch, initialCapacity);
  }

  /**
   * A cache that keeps what a cache policy says. It is run by {@link #prefill}, {@link #decode} and
   * {@link #hidden}.
   *
   * @param batch B
   * @throws dev.kvshare.apply.policy.PolicyException when the model cannot be run under the plan,
   *     or the cache policy goes with neither of them
   */
  public CompressedCache newCache(CacheOptions options, CachePolicy policy, int batch) {
    InputChecks.plan(spec, options.plan());
    CachePlan.check(spec, options.plan(), policy);
    return new CompressedCache(storage, options, policy, batch);
  }

  /**
   * The cache of a generation: without a cache policy one that keeps everything that some layer may
   * still see. It is run by {@link #prefill} and {@link #decode}.
   *
   * @param policy null for none
   * @param initialCapacity positions allocated at once where nothing is ever dropped
   * @throws dev.kvshare.apply.policy.PolicyException as the other caches do
   */
  public DecodingCache newCache(
      CacheOptions options, CachePolicy policy, int batch, int initialCapacity) {
    if (policy == null && !spec.kvUse(options.plan()).dropsTokens()) {
      return newCache(options, batch, initialCapacity);
    }
    return newCache(options, policy == null ? new WholeText() : policy, batch);
  }

  /**
   * Weights in place of the checkpoint's, to be named in {@link CacheOptions}. A bias that the
   * checkpoint lacks is added. The tensors given are copied.
   *
   * @param tensors float32 by the checkpoint's names, in the checkpoint's shapes and layout (see
   *     {@link ReplaceableWeights})
   * @throws IllegalArgumentException when a name or a shape is not one that may be replaced
   */
  public WeightOverrides newOverrides(Map<String, ? extends NDArray> tensors) {
    return new WeightOverrides(weights, storage.type(), manager, tensors);
  }

  /**
   * A refitted projection by the checkpoint's names and in its layout, as {@link #newOverrides}
   * takes it. Columns of an output projection beyond the checkpoint's are an own-token projection.
   *
   * @param role of the matrix; of queries, keys and values the queries alone may be given
   * @param target owns the result
   */
  public SortedMap<String, NDArray> tensors(
      int layer, WeightRole role, LayerParts.Projection projection, NDManager target) {
    return WeightOverrides.stored(
        weights,
        layer,
        role,
        (PtNDArray) projection.weight(),
        (PtNDArray) projection.bias(),
        (PtNDManager) target);
  }

  /** The refitted weights of a policy in place of the checkpoint's. */
  public WeightOverrides newOverrides(RefittedWeights refitted) {
    try (NDManager scratch = newManager()) {
      return newOverrides(refitted.tensors(scratch));
    }
  }

  /** The layers part by part, with the checkpoint's weights. */
  public LayerParts parts() {
    return new LayerParts(storage, weights.layers().numbers(), rotary);
  }

  /**
   * The same with the windows of a plan; the caller closes it.
   *
   * @throws dev.kvshare.apply.policy.PolicyException when the model cannot be run under the plan
   */
  public LayerParts parts(Plan plan) {
    InputChecks.plan(spec, plan);
    return new LayerParts(storage, weights.layers().numbers(plan), rotary);
  }

  /**
   * Loads further TorchScript sources behind {@code decoder.py}; the caller closes them before the
   * decoder.
   *
   * @param beside the class beside which the sources are resources
   */
  public LayerScript newScript(Class<?> beside, String... sources) {
    return new LayerScript(new ScriptModule(manager, beside, sources), weights, rotary);
  }

  /**
   * Loads a further TorchScript source whose methods compute gradients; the caller closes it before
   * the decoder.
   *
   * @param beside the class beside which the source is a resource
   */
  public LayerGradients newGradients(Class<?> beside, String source) {
    return new LayerGradients(
        ScriptModule.differentiable(manager, beside, source), weights, rotary);
  }

  /**
   * How far next-token distributions are from those of a reference.
   *
   * @param reference [B, T, E] in the compute type, before the final norm
   * @param hidden the same of the distributions to judge
   * @param targets int64 [B, T], the tokens that follow; -1 where none counts
   */
  public Divergence divergence(NDArray reference, NDArray hidden, NDArray targets) {
    try (PtNDArray sums =
        calls.divergence((PtNDArray) reference, (PtNDArray) hidden, (PtNDArray) targets)) {
      return Divergence.ofArray(sums.toDoubleArray());
    }
  }

  /**
   * A weight of a layer as the checkpoint has it.
   *
   * @param role one that the layer has
   * @param target owns the result
   * @return float32, a copy; a projection is [out, in]
   */
  public NDArray weight(int layer, WeightRole role, NDManager target) {
    return weights.weight(layer, role, (PtNDManager) target);
  }

  /**
   * Embeds tokens at the positions behind {@code cache.length()}.
   *
   * @param ids int64 [B, T]
   * @return [B, T, E] in the compute type
   */
  public NDArray embed(NDArray ids, KvCache cache) {
    return plain.embed((PtNDArray) ids, cache);
  }

  /**
   * Runs the layers from {@code from} (inclusive) to {@code to} (exclusive) on T new positions
   * behind {@code cache.length()} and writes their keys and values there; does not advance the
   * cache.
   *
   * @param hidden [B, T, E] in the compute type
   * @return [B, T, E] in the compute type
   */
  public NDArray layers(NDArray hidden, KvCache cache, int from, int to) {
    return plain.layers((PtNDArray) hidden, cache, from, to);
  }

  /**
   * The final norm; what transformers gives as the last of {@code hidden_states}.
   *
   * @param hidden [B, T, E] in the compute type
   * @return float32 [B, T, E]
   */
  public NDArray finalNorm(NDArray hidden) {
    return calls.finalNorm((PtNDArray) hidden);
  }

  /**
   * The final norm and the output head.
   *
   * @param hidden [B, T, E] in the compute type, before the final norm
   * @return logits float32 [B, T, V]
   */
  public NDArray head(NDArray hidden) {
    return calls.head((PtNDArray) hidden);
  }

  /**
   * New tokens through the whole model; advances the cache.
   *
   * @param ids int64 [B, T]
   * @return logits float32 [B, T, V] of every new position
   */
  public NDArray forward(NDArray ids, KvCache cache) {
    return plain.forward((PtNDArray) ids, cache);
  }

  /**
   * New tokens through all layers; advances the cache. {@link #head} makes logits of a part of the
   * positions, where those of all would be too large. The first tokens of a compressed cache are
   * the prompt, and several at once see each other before others are dropped for them.
   *
   * @param ids int64 [B, T]
   * @return [B, T, E] in the compute type, before the final norm
   */
  public NDArray hidden(NDArray ids, DecodingCache cache) {
    if (cache instanceof KvCache whole) {
      return plain.hidden((PtNDArray) ids, whole);
    }
    checks.batch(ids, cache);
    return compressed.feed((PtNDArray) ids, (CompressedCache) cache);
  }

  /**
   * One new token a row; advances the cache. With a whole cache one native call.
   *
   * @param ids int64 [B]
   * @return logits float32 [B, V]
   */
  public NDArray decode(NDArray ids, DecodingCache cache) {
    if (cache instanceof KvCache whole) {
      return plain.decode((PtNDArray) ids, whole);
    }
    try (NDArray column = ids.expandDims(1);
        NDArray last = hidden(column, cache);
        NDArray logits = head(last)) {
      return logits.reshape(cache.batch(), spec.vocabularySize());
    }
  }

  /**
   * Prompts into an empty cache; advances it by the longest. Above the highest layer that keeps its
   * own keys and values only the last position is run, and that layer itself computes nothing but
   * keys and values for the others. With a compressed cache, the layers whose attention decides
   * what is kept run all of the prompt.
   *
   * <p>Where the plan has an exact prefill, prompts are computed as the unshared model does ({@link
   * Plan.Prefill#EXACT}). Tokens that are run otherwise, by {@link #hidden}, {@link #forward} or
   * {@link #layers}, run under the plan in any case, with an empty cache too.
   *
   * @param prompts B prompts, of different lengths if wanted
   * @param cache an empty cache of the same batch
   * @param chunkTokens positions processed at once; less memory, same output. Passes for sources
   *     above their readers need the whole prompt at once
   * @return logits float32 [B, V] of each row's last token
   */
  public NDArray prefill(PromptBatch prompts, DecodingCache cache, int chunkTokens) {
    try (NDArray last = prompt(prompts, cache, chunkTokens);
        NDArray logits = head(last)) {
      return logits.reshape(prompts.size(), spec.vocabularySize());
    }
  }

  /**
   * As {@link #prefill}, without the head.
   *
   * @return each row's last token behind the highest layer, [B, 1, E] in the compute type
   */
  public NDArray prompt(PromptBatch prompts, DecodingCache cache, int chunkTokens) {
    checks.prompts(prompts, cache, chunkTokens);
    return cache instanceof KvCache whole
        ? plain.prefill(prompts, whole, chunkTokens)
        : compressed.prefill(prompts, (CompressedCache) cache, chunkTokens);
  }

  /**
   * Leaves in an empty cache what an exact prefill would leave there ({@link Plan.Prefill#EXACT}),
   * from keys and values of prompts that the unshared model has read: many plans share one pass
   * over a prompt.
   *
   * @param unshared the prompts alone, by {@link #prefill} under the checkpoint's own plan and
   *     weights; stays as it is
   * @param cache an empty cache of the same batch, its plan with an exact prefill; one whose cache
   *     policy keeps tokens by their attention is refused
   */
  public void reduce(KvCache unshared, DecodingCache cache) {
    checks.reduction(unshared, cache);
    if (cache instanceof KvCache whole) {
      whole.reduce(unshared);
    } else {
      ((CompressedCache) cache).reduce(unshared);
    }
  }

  @Override
  public void close() {
    weights.close();
    rotary.close();
    script.close();
    manager.close();
  }
}
