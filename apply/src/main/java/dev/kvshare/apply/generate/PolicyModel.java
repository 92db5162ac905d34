package dev.kvshare.apply.generate;

import dev.kvshare.apply.cache.CachePolicy;
import dev.kvshare.apply.decoder.CacheOptions;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.weights.WeightOverrides;
import dev.kvshare.apply.family.spec.ModelSpec;
import dev.kvshare.apply.generate.GenerationRequest.GenerationException;
import dev.kvshare.apply.generate.SamplingOptions.Sampler;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.tokenizer.StreamingDecoder;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.apply.model.tokenizer.template.ChatTemplate;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.Policy;
import dev.kvshare.apply.policy.PolicyFile;
import dev.kvshare.apply.policy.RefittedWeights;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A pretrained model that runs under a sharing policy. Not for use by several threads at once. */
public final class PolicyModel implements AutoCloseable {
  private static final Logger LOGGER = LoggerFactory.getLogger(PolicyModel.class);

  /**
   * How to load a model.
   *
   * @param model a Hugging Face directory or a GGUF file
   * @param policy a policy file, or null for the unshared model
   * @param decoder device, number type and threads
   * @param force whether to apply a policy that was made for another model of the same shape
   * @param repair whether the refitted weights of a policy are used
   * @param prefill how prompts are computed, or null for what the policy says
   */
  public record Options(
      Path model,
      Path policy,
      DecoderOptions decoder,
      boolean force,
      boolean repair,
      Plan.Prefill prefill) {
    public Options {
      Objects.requireNonNull(model, "model");
      Objects.requireNonNull(decoder, "decoder");
    }
  }

  private final LoadedModel model;
  private final Decoder decoder;
  private final Plan plan;
  private final WeightOverrides overrides;
  private final Tokenizer tokenizer;
  private final Set<Integer> endTokens;
  private final int bytesPerElement;

  private PolicyModel(LoadedModel model, Options options) {
    this.model = model;
    this.decoder = model.decoder();
    Tokenizer loaded;
    try {
      loaded = model.tokenizer();
    } catch (CheckpointException.Tokenizer e) {
      loaded = null; // Token ids need none: the same is thrown when a prompt is a text.
    }
    this.tokenizer = loaded;
    Checkpoint checkpoint = model.checkpoint();
    this.endTokens =
        tokenizer == null
            ? Tokenizer.endTokens(checkpoint.location(), checkpoint.config())
            : tokenizer.eosIds();
    Path file = options.policy();
    Policy policy =
        file == null
            ? null
            : PolicyFile.read(file, model.identity(), decoder.spec(), options.force());
    Plan chosen = policy == null ? decoder.spec().plan() : policy.plan();
    this.plan = options.prefill() == null ? chosen : chosen.withPrefill(options.prefill());
    this.bytesPerElement = options.decoder().computeType().bytes();
    // A map that the decoder cannot run is refused now, not at the first generation.
    decoder.newCache(CacheOptions.of(plan), 1, 1).close();
    this.overrides = policy != null && options.repair() ? overrides(policy, file, decoder) : null;
  }

  /**
   * Loads a model.
   *
   * @param model a Hugging Face directory or a GGUF file
   * @param policyOrNull a policy file, or null for the unshared model
   */
  public static PolicyModel load(Path model, Path policyOrNull) {
    return load(new Options(model, policyOrNull, DecoderOptions.DEFAULT, false, true, null));
  }

  /**
   * Loads a model with options.
   *
   * @throws dev.kvshare.apply.model.CheckpointException when the model cannot be used
   * @throws dev.kvshare.apply.policy.PolicyException when the policy cannot be used or was made for
   *     another model
   */
  public static PolicyModel load(Options options) {
    LoadedModel model = LoadedModel.open(options.model(), options.decoder());
    try {
      return new PolicyModel(model, options);
    } catch (RuntimeException | Error e) {
      model.close();
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
    if (tokenizer == null && !request.stopStrings().isEmpty()) {
      throw new GenerationException(
          "Stop strings are given, but the model has no tokenizer and so gives no text.");
    }
    BitSet excluded = new BitSet();
    if (request.ignoreEos()) {
      endTokens.stream().filter(id -> id < spec.vocabularySize()).forEach(excluded::set);
    }
    SplittableRandom streams = new SplittableRandom(request.sampling().seed());
    List<Generation.Row> rows = new ArrayList<>();
    for (Prompt prompt : request.prompts()) {
      int[] ids = encode(rows.size(), prompt, maxPositions);
      BitSet occurred = new BitSet();
      Arrays.stream(ids).forEach(occurred::set);
      rows.add(
          new Generation.Row(
              rows.size(),
              ids,
              new Sampler(request.sampling(), streams.split(), occurred, excluded),
              streamingDecoder(prompt, ids),
              new Generation.StopMatcher(request.stopStrings())));
    }
    // Special tokens are left out of texts, so a stop string that names one never stands in them.
    Set<Integer> ends = new HashSet<>(endTokens);
    for (String stop : request.stopStrings()) {
      tokenizer.specialId(stop).ifPresent(ends::add);
    }
    Generation.Limits limits = new Generation.Limits(request.maxNewTokens(), maxPositions);
    return new Generation(decoder, cacheOptions(), rows, ends, limits, listener)
        .run(cachePolicy, bytesPerElement);
  }

  @Override
  public void close() {
    if (overrides != null) {
      overrides.close();
    }
    model.close();
  }

  /** The ids of a prompt, with the special tokens that the model's files ask for. */
  private int[] encode(int index, Prompt prompt, int maxPositions) {
    int[] ids;
    if (prompt instanceof Prompt.Text text) {
      ids = model.tokenizer().encode(text.text(), true);
    } else if (prompt instanceof Prompt.Chat chat) {
      ChatTemplate template =
          model
              .tokenizer()
              .chatTemplate()
              .orElseThrow(
                  () ->
                      new GenerationException(
                          "Prompt %d is a chat, but the model has no chat template: it was not trained for conversations. Give the prompt as plain text."
                              .formatted(index)));
      ids = tokenizer.encode(template.render(chat.messages(), true), false);
    } else {
      ids = ((Prompt.Ids) prompt).ids().stream().mapToInt(Integer::intValue).toArray();
    }
    check(index, ids, maxPositions);
    return ids;
  }

  private void check(int index, int[] ids, int maxPositions) {
    if (ids.length == 0) {
      throw new GenerationException(
          "Prompt %d is empty, and the model's tokenizer adds no token that begins a text. Give at least one token."
              .formatted(index));
    }
    if (ids.length > maxPositions) {
      throw new GenerationException(
          "Prompt %d has %d tokens, but the model was made for at most %d positions. Shorten the prompt."
              .formatted(index, ids.length, maxPositions));
    }
    for (int position = 0; position < ids.length; position++) {
      if (ids[position] < 0 || ids[position] >= decoder.spec().vocabularySize()) {
        throw new GenerationException(
            "Prompt %d has the token id %d at position %d, but the model's ids go from 0 to %d."
                .formatted(index, ids[position], position, decoder.spec().vocabularySize() - 1));
      }
    }
  }

  /** A text goes on where its prompt ends; an answer in a chat begins anew. */
  private StreamingDecoder streamingDecoder(Prompt prompt, int[] ids) {
    if (tokenizer == null) {
      return null;
    }
    return prompt instanceof Prompt.Text ? tokenizer.streaming(ids) : tokenizer.streaming();
  }

  /**
   * The weights that a policy replaces. A policy whose file of them is missing still works: a
   * warning says what is lost.
   *
   * @param file where the policy was read from
   * @return null when it replaces none; closed by the caller after every cache made with them
   * @throws dev.kvshare.apply.policy.PolicyException if the file is damaged or another's
   */
  public static WeightOverrides overrides(Policy policy, Path file, Decoder decoder) {
    if (policy.repair() == null || policy.repair().tensors().isEmpty()) {
      return null;
    }
    Path weights = PolicyFile.weights(policy, file);
    if (weights == null) {
      LOGGER.warn(
          "{} has refitted weights in {}, which is not there: the quality is that of plain sharing. Put the file beside the policy, or say --no-repair.",
          file,
          policy.repair().file());
      return null;
    }
    return decoder.newOverrides(RefittedWeights.read(weights, policy.repair(), decoder.spec()));
  }
}
