package dev.kvshare.apply.model.tokenizer;

/**
 * Turns token ids into text one by one. A piece is given out as soon as it can no longer change;
 * all pieces joined are the decoding of all ids.
 */
public interface StreamingDecoder {
  /** Adds a token and returns the text that became complete, often empty. */
  String push(int id);

  /** Returns the text still held back, with incomplete characters replaced; nothing follows. */
  String finish();
}
