package dev.kvshare.calibrate.capture;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.KvCache;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.calibrate.CalibrationException;

/** Stops a calibration at the first number that is not finite, with its layer and sample named. */
final class FiniteStates {
  private FiniteStates() {}

  /**
   * Checks last hidden states; only if they are bad are the layers run again to find the first bad
   * one.
   *
   * @param hidden last hidden states of the batch under {@code map}, float32 [B, T, E] row-major
   */
  static void require(Decoder decoder, SampleBatch batch, SharingMap map, float[] hidden) {
    if (firstBad(hidden) >= 0) {
      throw new CalibrationException(message(decoder, batch, map));
    }
  }

  private static String message(Decoder decoder, SampleBatch batch, SharingMap map) {
    try (NDManager manager = decoder.newManager();
        KvCache cache = decoder.newCache(map, batch.size(), batch.tokens())) {
      NDArray ids = manager.create(batch.ids(), new Shape(batch.size(), batch.tokens()));
      NDArray hidden = decoder.embed(ids, cache);
      String where = describe(hidden, batch, "the embedding");
      for (int layer = 0; layer < map.layers() && where == null; layer++) {
        NDArray next = decoder.layers(hidden, cache, layer, layer + 1);
        hidden.close();
        hidden = next;
        where = describe(hidden, batch, "layer " + layer);
      }
      return (where == null ? "The final norm gave a number that is not finite." : where)
          + " The map was "
          + map
          + ". The weights are finite, but a product of them is not: compute in a type with a larger"
          + " range (float32, bfloat16), or look for a damaged tensor there.";
    }
  }

  private static String describe(NDArray hidden, SampleBatch batch, String where) {
    try (NDArray wide = hidden.toType(DataType.FLOAT32, true)) {
      float[] numbers = wide.toFloatArray();
      int bad = firstBad(numbers);
      if (bad < 0) {
        return null;
      }
      int rowSize = numbers.length / batch.size();
      return "The output of %s is %s for sample %d at token %d, so nothing can be compared."
          .formatted(
              where,
              numbers[bad],
              batch.samples().get(bad / rowSize),
              bad % rowSize / (rowSize / batch.tokens()));
    }
  }

  private static int firstBad(float[] numbers) {
    for (int i = 0; i < numbers.length; i++) {
      if (!Float.isFinite(numbers[i])) {
        return i;
      }
    }
    return -1;
  }
}
