package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.capture.LayerWork;
import dev.kvshare.calibrate.capture.MeasuredSimilarity;
import dev.kvshare.calibrate.capture.SimilarityProbe;
import java.util.Iterator;

/**
 * A probe that answers from a journal as long as it lasts and then measures and writes to it.
 *
 * <p>The search repeats its decisions from the journalled similarities, so nothing else needs to be
 * kept; the probe behind is told of the accepted map only when it is first needed.
 */
final class JournalledProbe implements SimilarityProbe {
  private final SimilarityProbe probe;
  private final SearchJournal journal;
  private boolean measuring;
  private SharingMap acceptedInJournal;

  JournalledProbe(SimilarityProbe probe, SearchJournal journal) {
    this.probe = probe;
    this.journal = journal;
  }

  @Override
  public MeasuredSimilarity similarity(SharingMap candidate, double threshold) {
    SearchJournal.Tested entry = journal.replay(Plan.of(candidate), SearchJournal.Tested.class);
    if (entry != null) {
      return entry.similarity();
    }
    if (!measuring && acceptedInJournal != null) {
      probe.accepted(acceptedInJournal);
    }
    measuring = true;
    MeasuredSimilarity similarity = probe.similarity(candidate, threshold);
    journal.append(new SearchJournal.Tested(candidate, similarity));
    return similarity;
  }

  @Override
  public void announce(Iterator<SharingMap> candidates) {
    probe.announce(candidates);
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
