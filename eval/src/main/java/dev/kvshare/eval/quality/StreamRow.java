package dev.kvshare.eval.quality;

import java.util.List;

/**
 * A long text under one sharing map and one cache policy.
 *
 * @param policy the name of the sharing policy, or null for the unshared model
 * @param cache the name of the cache policy, or null where everything is kept
 * @param segments from the start of the text to its end
 */
public record StreamRow(String policy, String cache, List<StreamSegment> segments) {
  /** Copies the list. */
  public StreamRow {
    segments = List.copyOf(segments);
  }
}
