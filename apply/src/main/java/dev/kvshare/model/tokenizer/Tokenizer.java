package dev.kvshare.model.tokenizer;

import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** A model's tokenizer. Safe for use by several threads until it is closed. */
@SuppressWarnings("DoNotCallSuggester") // not written yet
public final class Tokenizer implements AutoCloseable {
  private Tokenizer() {}

  /** Loads the tokenizer of a Hugging Face directory. */
  public static Tokenizer load(Path directory) {
    throw new TokenizerException("Cannot load the tokenizer of " + directory + " yet.");
  }

  /**
   * Encodes text. Special tokens written in the text are recognised, as transformers does; use
   * {@link #encodeLiteral} for text that is not trusted to hold any.
   *
   * @param addSpecialTokens whether to add the tokens the model's files ask for (usually a BOS)
   */
  public int[] encode(String text, boolean addSpecialTokens) {
    throw new UnsupportedOperationException();
  }

  /** Encodes text without recognising or adding special tokens. */
  public int[] encodeLiteral(String text) {
    throw new UnsupportedOperationException();
  }

  /** Decodes ids to text. */
  public String decode(int[] ids, boolean skipSpecialTokens) {
    throw new UnsupportedOperationException();
  }

  /** A decoder for tokens that arrive one by one; special tokens are left out. */
  public StreamingDecoder streaming() {
    throw new UnsupportedOperationException();
  }

  /** One above the highest token id. */
  public int vocabularySize() {
    throw new UnsupportedOperationException();
  }

  /** The id of the token that begins a text, if the model has one. */
  public OptionalInt bosId() {
    throw new UnsupportedOperationException();
  }

  /** The ids that end a generated text; may be empty. */
  public Set<Integer> eosIds() {
    throw new UnsupportedOperationException();
  }

  /** The model's chat template, if its files have one. */
  public Optional<ChatTemplate> chatTemplate() {
    throw new UnsupportedOperationException();
  }

  @Override
  public void close() {}
}
