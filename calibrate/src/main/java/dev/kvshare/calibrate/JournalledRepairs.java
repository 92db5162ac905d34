package dev.kvshare.calibrate;

import dev.kvshare.calibrate.repair.RepairQuality;
import dev.kvshare.policy.SharingPlan;

/** As {@link JournalledProbe}, for plans that are repaired. */
final class JournalledRepairs implements RepairedProbe {
  private final RepairedProbe probe;
  private final SearchJournal journal;
  private boolean measuring;
  private SharingPlan acceptedInJournal;

  JournalledRepairs(RepairedProbe probe, SearchJournal journal) {
    this.probe = probe;
    this.journal = journal;
  }

  @Override
  public RepairQuality quality(SharingPlan plan) {
    SearchJournal.Repaired entry = journal.replay(plan, SearchJournal.Repaired.class);
    if (entry != null) {
      return entry.quality();
    }
    if (!measuring && acceptedInJournal != null) {
      probe.accepted(acceptedInJournal);
    }
    measuring = true;
    RepairQuality quality = probe.quality(plan);
    journal.append(new SearchJournal.Repaired(plan, quality));
    return quality;
  }

  @Override
  public void accepted(SharingPlan plan) {
    if (measuring) {
      probe.accepted(plan);
    } else {
      acceptedInJournal = plan;
    }
  }
}
