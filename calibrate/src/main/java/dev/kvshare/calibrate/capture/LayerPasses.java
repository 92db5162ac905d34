package dev.kvshare.calibrate.capture;

import dev.kvshare.apply.plan.SharingMap;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/**
 * Runs all batches, and several candidates, through a layer before the next one: where a layer is
 * read from a file when it runs, a pass reads each once.
 *
 * <p>Candidates that would come next if the first one is refused ride along. There are none after a
 * map was accepted, since they would be tested under a map that is not the accepted one any more;
 * each pass of which no map was accepted lets the next one have twice as many candidates.
 */
final class LayerPasses {
  private final List<ResumableBatch> batches;
  private final int layers;
  private final int mostCandidates;
  private final Map<SharingMap, List<float[]>> measured = new HashMap<>();
  private int candidates = 1;
  private Iterator<SharingMap> following = List.<SharingMap>of().iterator();

  /**
   * @param mostCandidates of one pass
   */
  LayerPasses(List<ResumableBatch> batches, int layers, int mostCandidates) {
    this.batches = batches;
    this.layers = layers;
    this.mostCandidates = mostCandidates;
  }

  /** Candidates that come after the next one as long as none is accepted. */
  void announce(Iterator<SharingMap> next) {
    following = next;
  }

  /**
   * Runs the accepted map.
   *
   * @param done told the layers that are done, after each
   * @return for each batch last hidden states after the final norm, float32 [B, T, E] row-major
   */
  List<float[]> run(IntConsumer done) {
    batches.forEach(ResumableBatch::begin);
    pass(done);
    return batches.stream().map(ResumableBatch::last).toList();
  }

  /**
   * Runs a candidate, unless it was run with another one; otherwise as {@link #run(IntConsumer)}.
   */
  List<float[]> run(SharingMap candidate) {
    if (!measured.containsKey(candidate)) {
      if (!measured.isEmpty()) {
        candidates = Math.min(mostCandidates, 2 * candidates);
      }
      measured.clear();
      List<SharingMap> together = new ArrayList<>(List.of(candidate));
      while (together.size() < candidates && following.hasNext()) {
        together.add(following.next());
      }
      batches.forEach(batch -> batch.begin(together));
      pass(done -> {});
      for (int number = 0; number < together.size(); number++) {
        List<float[]> hidden = new ArrayList<>();
        for (ResumableBatch batch : batches) {
          hidden.add(batch.last(number));
        }
        measured.put(together.get(number), hidden);
      }
    }
    return measured.get(candidate);
  }

  /** Says that another map was accepted. */
  void accepted() {
    measured.clear();
    candidates = 1;
  }

  private void pass(IntConsumer done) {
    int first = batches.stream().mapToInt(ResumableBatch::firstLayer).min().orElse(layers);
    for (int layer = first; layer < layers; layer++) {
      for (ResumableBatch batch : batches) {
        if (layer >= batch.firstLayer()) {
          batch.step(layer);
        }
      }
      done.accept(layer + 1);
    }
  }
}
