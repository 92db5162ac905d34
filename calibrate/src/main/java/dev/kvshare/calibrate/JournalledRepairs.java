package dev.kvshare.calibrate;

import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.policy.SharingMap;

/** As {@link JournalledProbe}, for maps that are repaired. */
final class JournalledRepairs implements RepairedProbe {
  private final RepairedProbe probe;
  private final SearchJournal journal;
  private boolean measuring;
  private SharingMap acceptedInJournal;

  JournalledRepairs(RepairedProbe probe, SearchJournal journal) {
    this.probe = probe;
    this.journal = journal;
  }

  @Override
  public RepairQuality quality(SharingMap map) {
    SearchJournal.Repaired entry = journal.replay(map, SearchJournal.Repaired.class);
    if (entry != null) {
      return entry.quality();
    }
    if (!measuring && acceptedInJournal != null) {
      probe.accepted(acceptedInJournal);
    }
    measuring = true;
    RepairQuality quality = probe.quality(map);
    journal.append(new SearchJournal.Repaired(map, quality));
    return quality;
  }

  @Override
  public void accepted(SharingMap map) {
    if (measuring) {
      probe.accepted(map);
    } else {
      acceptedInJournal = map;
    }
  }
}
