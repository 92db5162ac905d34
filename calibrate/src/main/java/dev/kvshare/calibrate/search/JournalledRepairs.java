package dev.kvshare.calibrate.search;

import dev.kvshare.apply.plan.Plan;
import dev.kvshare.calibrate.repair.RepairQuality;

/** As {@link JournalledProbe}, for plans that are repaired. */
final class JournalledRepairs implements RepairedProbe {
  private final RepairedProbe probe;
  private final SearchJournal journal;
  private boolean measuring;
  private Plan acceptedInJournal;

  JournalledRepairs(RepairedProbe probe, SearchJournal journal) {
    this.probe = probe;
    this.journal = journal;
  }

  @Override
  public RepairQuality quality(Plan plan) {
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
  public void accepted(Plan plan) {
    if (measuring) {
      probe.accepted(plan);
    } else {
      acceptedInJournal = plan;
    }
  }
}
