package dev.kvshare.apply.generate;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.tokenizer.StreamingDecoder;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;

/** A pretrained model that runs under a sharing policy. Not for use by several threads at once. */
public final class PolicyModel implements AutoCloseable {

  private final Checkpoint checkpoint;
  private final Decoder decoder;
  private final Plan plan;
  private final WeightOverrides overrides;
  private final Tokenizer tokenizer;
  private final CheckpointException.Tokenizer tokenizerFailure;
  private final Set<Integer> endTokens;
  private final int bytesPerElement;

  private PolicyModel(
      Checkpoint checkpoint,
      Decoder decoder,
      Tokenizer tokenizer,
      CheckpointException.Tokenizer tokenizerFailure,
      PolicyModelOptions options) {
    this.checkpoint = checkpoint;
    this.decoder = decoder;
    this.tokenizer = tokenizer;
    this.tokenizerFailure = tokenizerFailure;
    Policy policy = options.policy() == null ? null : policy(options, checkpoint, decoder.spec());
    this.plan = policy == null ? decoder.spec().plan() : policy.plan();
    this.endTokens =
        tokenizer == null
            ? Tokenizer.endTokens(checkpoint.location(), checkpoint.config())
            : tokenizer.eosIds();
    this.bytesPerElement = options.decoder().computeType().bytes();
    // A map that the decoder cannot run is refused now, not at the first generation.
    decoder.newCache(CacheOptions.of(plan), 1, 1).close();
    this.overrides =
        policy != null && options.repair()
            ? PolicySupport.overrides(policy, options.policy(), decoder)
            : null;
  }

  /**
   * Loads a model.
   *
   * @param model a Hugging Face directory or a GGUF file
   * @param policyOrNull a policy file, or null for the unshared model
   */
  public static PolicyModel load(Path model, Path policyOrNull) {
    return load(new PolicyModelOptions(model, policyOrNull, DecoderOptions.DEFAULT, false, true));
  }

  /**
   * Loads a model with options.
   *
   * @throws dev.kvshare.apply.model.CheckpointException when the model cannot be used
   * @throws dev.kvshare.apply.policy.PolicyException when the policy cannot be used or was made for
   *     another model
   */
  public static PolicyModel load(PolicyModelOptions options) {
    Checkpoint checkpoint = null;
    Tokenizer tokenizer = null;
    CheckpointException.Tokenizer tokenizerFailure = null;
    Decoder decoder = null;
    try {
      checkpoint = Checkpoints.open(options.model());
      try {
        tokenizer = Tokenizer.load(checkpoint.tokenizerSource(), checkpoint.config());
      } catch (CheckpointException.Tokenizer e) {
        // Token ids need no tokenizer: said when a prompt is a text.
        tokenizerFailure = e;
      }
      decoder = Decoder.load(checkpoint, options.decoder());
      return new PolicyModel(checkpoint, decoder, tokenizer, tokenizerFailure, options);
    } catch (RuntimeException | Error e) {
      closeAll(decoder, tokenizer, checkpoint);
      throw e;
    }
  }

  /** The decoder that runs the model. */
  public Decoder decoder() {
    return decoder;
  }

  /** Which layer reads whose keys and values. */
  public SharingMap map() {
    return plan.map();
  }

  /** Which keys and values each layer sees: the policy's, or the model's own without one. */
  public Plan plan() {
    return plan;
  }

  /** What a cache of the decoder needs to run as this model does. */
  public CacheOptions cacheOptions() {
    return new CacheOptions(plan, overrides);
  }

  /**
   * The model's tokenizer, if its files have one that can be used; otherwise {@link #generate} says
   * why not when a prompt is a text.
   */
  public Optional<Tokenizer> tokenizer() {
    return Optional.ofNullable(tokenizer);
  }

  /**
   * Continues the request's prompts, telling the listener each token on the way. Interrupting the
   * thread ends the generation with what there is.
   *
   * @throws GenerationException when a prompt does not fit the model
   * @throws dev.kvshare.apply.policy.PolicyException.Unsupported when the cache policy does not go
   *     with the model, the sharing policy or a prompt
   * @throws CheckpointException.Tokenizer when a prompt is a text and the tokenizer cannot be used,
   *     or a chat and its template cannot be rendered
   */
  public GenerationResult generate(GenerationRequest request, TokenListener listener) {
    ModelSpec spec = decoder.spec();
    CachePolicy cachePolicy = request.cachePolicy();
    boolean endless = cachePolicy != null && cachePolicy.endless();
    int maxPositions = endless ? Integer.MAX_VALUE : spec.maxPositions();
    PromptEncoder encoder = new PromptEncoder(spec, maxPositions, tokenizer, tokenizerFailure);
    if (tokenizer == null && !request.stopStrings().isEmpty()) {
      throw new GenerationException(
          "Stop strings are given, but the model has no tokenizer and so gives no text.");
    }
    BitSet excluded = new BitSet();
    if (request.ignoreEos()) {
      endTokens.stream().filter(id -> id < spec.vocabularySize()).forEach(excluded::set);
    }
    SplittableRandom streams = new SplittableRandom(request.sampling().seed());
    List<GenerationRow> rows = new ArrayList<>();
    for (Prompt prompt : request.prompts()) {
      int[] ids = encoder.encode(rows.size(), prompt);
      BitSet occurred = new BitSet();
      Arrays.stream(ids).forEach(occurred::set);
      rows.add(
          new GenerationRow(
              rows.size(),
              ids,
              new Sampler(request.sampling(), streams.split(), occurred, excluded),
              streamingDecoder(prompt, ids),
              new StopMatcher(request.stopStrings())));
    }
    boolean asComputed =
        request.sampling().isGreedy()
            && request.sampling().repetitionPenalty() == 1
            && excluded.isEmpty();
    GenerationRow.Limits limits = new GenerationRow.Limits(request.maxNewTokens(), maxPositions);
    Generation.Caches caches = new Generation.Caches(decoder, cacheOptions(), cachePolicy);
    return new Generation(caches, rows, endTokens, limits, asComputed, listener)
        .run(bytesPerElement);
  }

  @Override
  public void close() {
    if (overrides != null) {
      overrides.close();
    }
    closeAll(decoder, tokenizer, checkpoint);
  }

  /** A text goes on where its prompt ends; an answer in a chat begins anew. */
  private StreamingDecoder streamingDecoder(Prompt prompt, int[] ids) {
    if (tokenizer == null) {
      return null;
    }
    return prompt instanceof Prompt.Text ? tokenizer.streaming(ids) : tokenizer.streaming();
  }

  private static Policy policy(PolicyModelOptions options, Checkpoint checkpoint, ModelSpec spec) {
    return PolicyFile.read(
        options.policy(), ModelIdentity.of(checkpoint, spec), spec, options.force());
  }

  private static void closeAll(Decoder decoder, Tokenizer tokenizer, Checkpoint checkpoint) {
    if (decoder != null) {
      decoder.close();
    }
    if (tokenizer != null) {
      tokenizer.close();
    }
    if (checkpoint != null) {
      checkpoint.close();
    }
  }
}
