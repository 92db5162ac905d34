package dev.kvshare.calibrate;

import dev.kvshare.policy.SharingMap;
import java.util.List;

/**
 * A probe that answers from a journal as long as it lasts and then measures and writes to it.
 *
 * <p>The search repeats its decisions from the journalled similarities, so nothing else needs to be
 * kept; the probe behind is told of the accepted map only when it is first needed.
 */
final class JournalledProbe implements SimilarityProbe {
  private final SimilarityProbe probe;
  private final SearchJournal journal;
  private final List<SearchJournal.Entry> entries;
  private int replayed;
  private boolean measuring;
  private SharingMap acceptedInJournal;

  JournalledProbe(SimilarityProbe probe, SearchJournal journal) {
    this.probe = probe;
    this.journal = journal;
    this.entries = journal.entries();
  }

  @Override
  public MeasuredSimilarity similarity(SharingMap candidate, double threshold) {
    if (replayed < entries.size()) {
      SearchJournal.Entry entry = entries.get(replayed++);
      if (!entry.map().equals(candidate)) {
        throw journal.foreign(
            "its test number %d is of %s, but this search tests %s there"
                .formatted(replayed, entry.map(), candidate));
      }
      return entry.similarity();
    }
    if (!measuring && acceptedInJournal != null) {
      probe.accepted(acceptedInJournal);
    }
    measuring = true;
    MeasuredSimilarity similarity = probe.similarity(candidate, threshold);
    journal.append(new SearchJournal.Entry(candidate, similarity));
    return similarity;
  }

  @Override
  public void accepted(SharingMap map) {
    if (measuring) {
      probe.accepted(map);
    } else {
      acceptedInJournal = map;
    }
  }

  @Override
  public LayerWork work() {
    return probe.work();
  }
}
