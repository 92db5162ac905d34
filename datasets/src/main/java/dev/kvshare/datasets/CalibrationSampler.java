package dev.kvshare.datasets;

import dev.kvshare.datasets.Passages.Counts;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/**
 * Chooses calibration samples as KVSharer does (arXiv 2410.18517, section 4): the beginnings of
 * paragraphs.
 *
 * <ol>
 *   <li>Each paragraph is tokenised by itself; the first {@code samples} that have at least {@code
 *       tokens} tokens are taken in their order and truncated to {@code tokens}.
 *   <li>If there are fewer such paragraphs, the running text is cut into consecutive passages of
 *       {@code tokens} tokens instead, as many as there are up to {@code samples}; a note says so.
 *   <li>Token ids are taken as they are: the first {@code samples} sequences, truncated to {@code
 *       tokens}, shorter ones kept.
 * </ol>
 *
 * @param samples how many samples to take
 * @param tokens tokens of a sample
 */
public record CalibrationSampler(int samples, int tokens) {
  public CalibrationSampler {
    if (samples < 1 || tokens < 1) {
      throw new IllegalArgumentException(
          "samples and tokens must be at least 1, found %d and %d".formatted(samples, tokens));
    }
  }

  /** Returns samples of {@code corpus}; token ids need no {@code encoder}. */
  public Passages sample(Corpus corpus, Function<String, int[]> encoder) {
    return corpus instanceof Corpus.Text text
        ? sampleText(text, encoder)
        : sampleTokens((Corpus.Tokens) corpus);
  }

  private Passages sampleText(Corpus.Text text, Function<String, int[]> encoder) {
    List<int[]> passages = new ArrayList<>();
    int read = 0;
    for (String paragraph : text.paragraphs()) {
      if (passages.size() == samples) {
        break;
      }
      read++;
      int[] ids = encoder.apply(paragraph);
      if (ids.length >= tokens) {
        passages.add(Arrays.copyOf(ids, tokens));
      }
    }
    if (passages.size() == samples) {
      Counts counts = new Counts("paragraphs", read, samples, read - samples);
      return new Passages(text, passages, counts, List.of());
    }
    return sampleRunningText(text, encoder, passages.size());
  }

  private Passages sampleRunningText(
      Corpus.Text text, Function<String, int[]> encoder, int longEnough) {
    int[] ids = Passages.first(text, encoder, (long) samples * tokens);
    List<int[]> passages = Passages.cut(ids, tokens);
    if (passages.isEmpty()) {
      throw new DatasetException(
          "The text %s has %d tokens in %d paragraphs; one sample needs %d, and %d samples were asked for. Give a longer text or fewer --tokens."
              .formatted(text.name(), ids.length, text.paragraphs().size(), tokens, samples));
    }
    List<String> notes = new ArrayList<>();
    notes.add(
        "Only %d of the %d paragraphs of %s have %d tokens or more, fewer than the %d samples asked for: the running text was cut into passages instead."
            .formatted(longEnough, text.paragraphs().size(), text.name(), tokens, samples));
    addNoteIfFewer(notes, text.name(), passages.size());
    return new Passages(text, passages, Counts.allUsed("passages", passages), notes);
  }

  private Passages sampleTokens(Corpus.Tokens corpus) {
    List<int[]> passages =
        corpus.sequences().stream()
            .limit(samples)
            .map(ids -> Arrays.copyOf(ids, Math.min(tokens, ids.length)))
            .toList();
    List<String> notes = new ArrayList<>();
    addNoteIfFewer(notes, corpus.name(), passages.size());
    return new Passages(corpus, passages, Counts.allUsed("sequences", passages), notes);
  }

  private void addNoteIfFewer(List<String> notes, String name, int found) {
    if (found < samples) {
      notes.add(
          "%s gives %d samples of %d tokens; %d were asked for."
              .formatted(name, found, tokens, samples));
    }
  }
}
