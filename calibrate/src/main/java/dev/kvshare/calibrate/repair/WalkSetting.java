package dev.kvshare.calibrate.repair;

import dev.kvshare.runtime.Decoder;
import dev.kvshare.runtime.LayerParts;
import dev.kvshare.runtime.LinearFits;
import java.util.ArrayList;
import java.util.List;

/** What all walks over the same batches have in common. */
record WalkSetting(
    Decoder decoder,
    LayerParts parts,
    LinearFits fits,
    List<WindowBatch> batches,
    ReferenceStream reference,
    RepairSettings settings) {

  /** Tokens that judge queries, as a part of those that these are fitted to. */
  private static final int JUDGING_PART = 4;

  /** The batches that queries are fitted to, and those that judge them. */
  List<Integer> queryBatches() {
    List<Integer> chosen = new ArrayList<>(leading(false, settings.queries().tokens()));
    chosen.addAll(leading(true, settings.queries().tokens() / JUDGING_PART));
    return chosen;
  }

  /** At least one batch, where there is one. */
  private List<Integer> leading(boolean validation, int mostTokens) {
    List<Integer> leading = new ArrayList<>();
    int tokens = 0;
    for (int batch = 0; batch < batches.size(); batch++) {
      WindowBatch windows = batches.get(batch);
      if (windows.validation() == validation && tokens < mostTokens) {
        leading.add(batch);
        tokens += windows.size() * windows.tokens();
      }
    }
    return leading;
  }
}
