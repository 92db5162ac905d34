package dev.kvshare.cli.command;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoints;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.tokenizer.Tokenizer;
import dev.kvshare.apply.policy.ModelIdentities;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.TextEncoder;
import java.nio.file.Path;
import java.util.Set;
import java.util.function.Function;

/** A model ready to run, with what a command needs to know of it. */
final class OpenModel implements AutoCloseable {
  private final Checkpoint checkpoint;
  private final Decoder decoder;

  private OpenModel(Checkpoint checkpoint, Decoder decoder) {
    this.checkpoint = checkpoint;
    this.decoder = decoder;
  }

  static OpenModel open(Path model, DecoderOptions options, Output output) {
    return ProgressLine.whileLoading(model, output, () -> open(model, options));
  }

  private static OpenModel open(Path model, DecoderOptions options) {
    Checkpoint checkpoint = Checkpoints.open(model);
    try {
      return new OpenModel(checkpoint, Decoder.load(checkpoint, options));
    } catch (RuntimeException | Error e) {
      checkpoint.close();
      throw e;
    }
  }

  Decoder decoder() {
    return decoder;
  }

  /** What a policy says about the model it was made for. */
  ModelIdentity identity() {
    return ModelIdentities.of(checkpoint, decoder.spec());
  }

  /**
   * Runs a step that turns a corpus into token ids. The tokenizer is loaded only for text: a corpus
   * of token ids serves models without one.
   *
   * @param step given the encoder, null for token ids
   */
  <T> T withEncoder(Corpus corpus, Function<TextEncoder, T> step) {
    if (corpus instanceof Corpus.Tokens) {
      return step.apply(null);
    }
    try (Tokenizer tokenizer = Tokenizer.load(checkpoint.tokenizerSource(), checkpoint.config())) {
      return step.apply(text -> tokenizer.encode(text, false));
    }
  }

  /** The tokens that end a generated text; none if the model has no tokenizer. */
  Set<Integer> endTokens() {
    if (checkpoint.tokenizerSource() instanceof TokenizerSource.None) {
      return Set.of();
    }
    try (Tokenizer tokenizer = Tokenizer.load(checkpoint.tokenizerSource(), checkpoint.config())) {
      return tokenizer.eosIds();
    }
  }

  @Override
  public void close() {
    decoder.close();
    checkpoint.close();
  }
}
