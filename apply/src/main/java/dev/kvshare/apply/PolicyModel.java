package dev.kvshare.apply;

import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.Checkpoints;
import dev.kvshare.model.tokenizer.Tokenizer;
import dev.kvshare.runtime.DecoderOptions;
import java.nio.file.Path;
import java.util.Optional;

/** A pretrained model that runs under a sharing policy. Not for use by several threads at once. */
public final class PolicyModel implements AutoCloseable {
  private final Tokenizer tokenizer;

  private PolicyModel(Tokenizer tokenizer) {
    this.tokenizer = tokenizer;
  }

  /**
   * Loads a model.
   *
   * @param model a Hugging Face directory or a GGUF file
   * @param policyOrNull a policy file, or null for the unshared model
   */
  public static PolicyModel load(Path model, Path policyOrNull) {
    return load(new PolicyModelOptions(model, policyOrNull, DecoderOptions.DEFAULT, false));
  }

  /** Loads a model with options. */
  public static PolicyModel load(PolicyModelOptions options) {
    Checkpoint checkpoint = Checkpoints.open(options.model());
    return new PolicyModel(Tokenizer.load(checkpoint.tokenizerSource(), checkpoint.config()));
  }

  /** The model's tokenizer, if its files have one. */
  public Optional<Tokenizer> tokenizer() {
    return Optional.ofNullable(tokenizer);
  }

  /** Continues the request's prompts, telling the listener each token on the way. */
  public GenerationResult generate(GenerationRequest request, TokenListener listener) {
    if (listener.onToken(0, 0, "")) {
      return null;
    }
    throw new UnsupportedOperationException(request.toString());
  }

  @Override
  public void close() {}
}
