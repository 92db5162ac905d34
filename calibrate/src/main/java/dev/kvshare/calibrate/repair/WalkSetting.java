package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerParts;
import dev.kvshare.apply.decoder.LinearFits;
import java.util.List;

/** What all walks over the same batches have in common. */
record WalkSetting(
    Decoder decoder,
    LayerParts parts,
    LinearFits fits,
    List<PassageBatch> batches,
    ReferenceStream reference,
    RepairSettings settings) {

  /** Tokens that judge queries, as a part of those that these are fitted to. */
  private static final int JUDGING_PART = 4;

  /**
   * Every so many-th token of the windows is one that queries are fitted to, or that judges these.
   */
  int queryStride(boolean validation) {
    long tokens =
        batches.stream()
            .filter(batch -> batch.validation() == validation)
            .mapToLong(batch -> (long) batch.size() * batch.tokens())
            .sum();
    long most = settings.queries().tokens() / (validation ? JUDGING_PART : 1);
    return Math.toIntExact(Math.max(1, (tokens + most - 1) / most));
  }
}
