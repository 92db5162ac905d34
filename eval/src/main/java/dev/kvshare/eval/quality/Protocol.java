package dev.kvshare.eval.quality;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.datasets.EvaluationPassages;
import dev.kvshare.datasets.Passages;
import dev.kvshare.eval.format.Report;
import dev.kvshare.eval.format.Table;
import java.util.stream.IntStream;

/**
 * What was read and which of its tokens count.
 *
 * @param passages the token ids and where they came from
 * @param cut how they were cut
 * @param prompt tokens at the start of every passage that are not scored; 0 for those that the cut
 *     says
 * @param scoredBytes bytes in UTF-8 of the tokens that are scored, 0 where they are not known
 */
public record Protocol(Passages passages, EvaluationPassages cut, int prompt, long scoredBytes) {

  /** Tokens at the start of a passage that are not scored. */
  public int unscored(int passage) {
    return prompt == 0 ? cut.unscored(passage) : prompt;
  }

  /** Tokens that are scored, of all passages together. */
  public long scoredTokens() {
    int count = passages.passages().size();
    return IntStream.range(0, count)
        .mapToLong(w -> passages.passages().get(w).length - unscored(w))
        .sum();
  }

  /** Perplexity by bytes of what has this perplexity by tokens; NaN where bytes are not known. */
  public double bytePerplexity(double perplexity) {
    return scoredBytes == 0
        ? Double.NaN
        : Math.pow(perplexity, (double) scoredTokens() / scoredBytes);
  }

  /** One sentence for people. */
  public String line() {
    return "%s: %d passages of %d tokens, %s, %s; %s tokens%s scored"
        .formatted(
            passages.name(),
            passages.passages().size(),
            passages.passages().get(0).length,
            cut.overlaps() ? "one every " + cut.stride() : "without overlap",
            cut.first() == null ? "no BOS" : "each behind the BOS token " + cut.first(),
            Table.format("%,d", scoredTokens()),
            scoredBytes == 0 ? "" : Table.format(" (%,d bytes)", scoredBytes));
  }

  /** The same for programs. */
  public ObjectNode object() {
    ObjectNode node = Report.newRow();
    node.put("name", passages.name());
    node.put("sha256", passages.sha256());
    node.put("passages", passages.passages().size());
    node.put("passage_tokens", passages.passages().get(0).length);
    node.put("stride", cut.stride());
    node.put("bos", cut.first());
    if (prompt > 0) {
      node.put("prompt_tokens", prompt);
    }
    node.put("scored_tokens", scoredTokens());
    node.put("scored_bytes", scoredBytes == 0 ? null : scoredBytes);
    return node;
  }
}
