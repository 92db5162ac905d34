package dev.kvshare.cli;

import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.TextEncoder;
import dev.kvshare.datasets.TokenWindows;
import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.Checkpoints;
import dev.kvshare.model.Fingerprint;
import dev.kvshare.model.family.ModelSpec;
import dev.kvshare.model.tokenizer.Tokenizer;
import dev.kvshare.policy.ModelIdentity;
import dev.kvshare.runtime.Decoder;
import java.util.function.BiFunction;

/** A model ready to run, with what a command needs to know of it. */
final class OpenModel implements AutoCloseable {
  private final Checkpoint checkpoint;
  private final Decoder decoder;

  private OpenModel(Checkpoint checkpoint, Decoder decoder) {
    this.checkpoint = checkpoint;
    this.decoder = decoder;
  }

  static OpenModel open(ModelOptions options) {
    Checkpoint checkpoint = Checkpoints.open(options.path());
    try {
      return new OpenModel(checkpoint, Decoder.load(checkpoint, options.decoderOptions()));
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
    ModelSpec spec = decoder.spec();
    return new ModelIdentity(
        spec.modelType(),
        spec.layers(),
        spec.queryHeads(),
        spec.keyValueHeads(),
        spec.headSize(),
        Fingerprint.of(checkpoint));
  }

  /**
   * Cuts a corpus into token windows. The tokenizer is loaded only for text: a corpus of token ids
   * serves models without one.
   */
  TokenWindows windows(Corpus corpus, BiFunction<Corpus, TextEncoder, TokenWindows> cut) {
    if (corpus instanceof Corpus.Tokens) {
      return cut.apply(corpus, null);
    }
    try (Tokenizer tokenizer = Tokenizer.load(checkpoint.tokenizerSource(), checkpoint.config())) {
      return cut.apply(corpus, text -> tokenizer.encode(text, false));
    }
  }

  @Override
  public void close() {
    decoder.close();
    checkpoint.close();
  }
}
