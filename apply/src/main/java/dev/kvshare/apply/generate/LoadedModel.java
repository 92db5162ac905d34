package dev.kvshare.apply.generate;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.policy.ModelIdentity;
import java.nio.file.Path;
import java.util.OptionalInt;
import java.util.Set;

/**
 * A model ready to run without a policy, with what calibration and evaluation need to know of it.
 * The tokenizer is loaded when the first text is encoded: token ids serve models without one. Not
 * safe for use by several threads at once.
 */
public final class LoadedModel implements AutoCloseable {
  private final Checkpoint checkpoint;
  private final Decoder decoder;
  private final DecoderOptions options;
  private Tokenizer tokenizer;

  private LoadedModel(Checkpoint checkpoint, Decoder decoder, DecoderOptions options) {
    this.checkpoint = checkpoint;
    this.decoder = decoder;
    this.options = options;
  }

  /**
   * Loads a model.
   *
   * @param model a Hugging Face directory or a GGUF file
   * @throws dev.kvshare.apply.model.CheckpointException when the model cannot be used
   */
  public static LoadedModel open(Path model, DecoderOptions options) {
    Checkpoint checkpoint = Checkpoints.open(model);
    try {
      return new LoadedModel(checkpoint, Decoder.load(checkpoint, options), options);
    } catch (RuntimeException | Error e) {
      checkpoint.close();
      throw e;
    }
  }

  /** The model's files, closed with this model. */
  Checkpoint checkpoint() {
    return checkpoint;
  }

  /** The decoder, closed with this model. */
  public Decoder decoder() {
    return decoder;
  }

  /** What a policy says about the model it was made for. */
  public ModelIdentity identity() {
    return ModelIdentity.of(checkpoint, decoder.spec());
  }

  /**
   * What a measurement of this model depends on.
   *
   * @param plan the plan that it ran under, null where the measurement is of several or none
   */
  public MeasurementKey key(Plan plan) {
    return new MeasurementKey(
        identity().fingerprint(), options.computeType(), options.weights(), options.device(), plan);
  }

  /** Token ids of a text without added tokens. */
  public int[] encode(String text) {
    return tokenizer().encode(text, false);
  }

  /** The token that the model's files put before a text, null for none. */
  public Integer bosOrNull() {
    if (checkpoint.tokenizerSource() instanceof TokenizerSource.None) {
      return null;
    }
    int[] ids = tokenizer().encode("", true);
    return ids.length > 0 && tokenizer().bosId().equals(OptionalInt.of(ids[0])) ? ids[0] : null;
  }

  /** The tokens that end a generated text; none if the model has no tokenizer. */
  public Set<Integer> endTokens() {
    return checkpoint.tokenizerSource() instanceof TokenizerSource.None
        ? Set.of()
        : tokenizer().eosIds();
  }

  @Override
  public void close() {
    if (tokenizer != null) {
      tokenizer.close();
    }
    decoder.close();
    checkpoint.close();
  }

  /** The tokenizer, closed with this model; throws where there is none to use. */
  public Tokenizer tokenizer() {
    if (tokenizer == null) {
      tokenizer = Tokenizer.load(checkpoint.tokenizerSource(), checkpoint.config());
    }
    return tokenizer;
  }
}
