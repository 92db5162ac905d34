package dev.kvshare.eval;

import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.datasets.Corpus;
import dev.kvshare.datasets.EvaluationPassages;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.quality.EvaluationException;
import dev.kvshare.eval.quality.Protocol;
import java.util.Arrays;
import java.util.stream.IntStream;

/** What of a text is read by a model, cut into passages or as a whole. */
record EvaluationText(LoadedModel model, Corpus corpus) {

  /** The first tokens of a text, in one piece, and how they were cut from it. */
  static final class Stream {
    final int[] ids;
    final Protocol protocol;

    private Stream(int[] ids, Protocol protocol) {
      this.ids = ids;
      this.protocol = protocol;
    }
  }

  /**
   * The text, cut into passages and checked.
   *
   * @param stride tokens from one passage to the next; 0 for the length of a passage
   * @param promptOrNull tokens of each passage that are a prompt, 0 for half; null where all of it
   *     is scored
   */
  Protocol protocol(int passageCount, int passageTokens, int stride, Integer promptOrNull) {
    Integer bos = bosOrNull();
    int ofText = bos == null ? passageTokens : passageTokens - 1;
    if (stride > ofText) {
      throw new EvaluationException(
          "A stride of %d tokens leaves out some of the text between passages of %d tokens%s. Use --stride %d or less."
              .formatted(stride, passageTokens, bos == null ? "" : " behind a BOS token", ofText));
    }
    EvaluationPassages cut =
        new EvaluationPassages(passageTokens, passageCount, stride == 0 ? ofText : stride, bos);
    Passages passages = cut.cut(corpus, model::encode);
    checkVocabulary(passages);
    int length = passages.passages().get(0).length;
    int most = model.decoder().spec().maxPositions();
    if (length > most) {
      throw new EvaluationException(
          "A passage of %d tokens is longer than the %d positions that the model was made for. Use --passage-tokens %d."
              .formatted(length, most, most));
    }
    Protocol protocol = new Protocol(passages, cut, prompt(length, promptOrNull), 0);
    if (!(corpus instanceof Corpus.Text)) {
      return protocol;
    }
    long bytes = 0;
    for (int w = 0; w < passages.passages().size(); w++) {
      int[] ids = passages.passages().get(w);
      int[] scored = Arrays.copyOfRange(ids, protocol.unscored(w), length);
      bytes += model.tokenizer().textBytes(scored);
    }
    return new Protocol(passages, cut, protocol.prompt(), bytes);
  }

  /**
   * The first tokens of the text, behind what the model wants in front of one.
   *
   * @param part tokens that are scored together
   */
  Stream stream(int tokens, int part) {
    EvaluationPassages cut = new EvaluationPassages(part, tokens / part);
    Passages parts = cut.cut(corpus, model::encode);
    checkVocabulary(parts);
    IntStream ids = parts.passages().stream().flatMapToInt(Arrays::stream);
    Integer bos = bosOrNull();
    int[] text =
        bos == null
            ? ids.toArray()
            : IntStream.concat(IntStream.of(bos), ids).limit(parts.tokens()).toArray();
    int learned = model.decoder().spec().learnedPositions();
    if (learned > 0 && text.length > learned) {
      throw new EvaluationException(
          "A text of %d tokens is longer than the %d positions that this model has learned. Use a shorter one."
              .formatted(text.length, learned));
    }
    return new Stream(text, new Protocol(parts, cut, 0, 0));
  }

  /** What stands before each passage: what the model's files ask for before a text. */
  Integer bosOrNull() {
    return corpus instanceof Corpus.Text ? model.bosOrNull() : null;
  }

  private void checkVocabulary(Passages passages) {
    int vocabulary = model.decoder().spec().vocabularySize();
    if (passages.highestId() >= vocabulary) {
      throw new EvaluationException(
          "The text %s has the token id %d, but the vocabulary of the model ends at %d. Use token ids of this model's tokenizer."
              .formatted(passages.name(), passages.highestId(), vocabulary - 1));
    }
  }

  private static int prompt(int length, Integer promptOrNull) {
    if (promptOrNull == null) {
      return 0;
    }
    int prompt = promptOrNull == 0 ? length / 2 : promptOrNull;
    if (prompt < 1 || prompt >= length) {
      throw new EvaluationException(
          "A prompt of %d tokens leaves nothing to score in a passage of %d. Use a shorter prompt or --passage-tokens %d."
              .formatted(prompt, length, 2 * prompt));
    }
    return prompt;
  }
}
