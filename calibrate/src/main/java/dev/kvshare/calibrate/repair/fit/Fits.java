package dev.kvshare.calibrate.repair.fit;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.LayerScript;
import dev.kvshare.apply.family.spec.WeightRole;

/** Makes fits on the device of a decoder; closing it frees what its fits still hold. */
public final class Fits implements AutoCloseable {
  private final Decoder decoder;
  private final NDManager manager;
  private final LayerScript script;

  /** Fits for the layers of a decoder, which outlives them. */
  public Fits(Decoder decoder) {
    this.decoder = decoder;
    this.manager = decoder.newManager();
    this.script = decoder.newScript(Fits.class, "ridge.py", "queries.py");
  }

  /**
   * A fit of a projection without tokens.
   *
   * @param inputs F
   * @param firstBlock the leading inputs, which are regularised by their own size and not by that
   *     of the others; F where all are of one kind
   * @param outputs E
   */
  public RidgeFit newRidge(long inputs, long firstBlock, long outputs) {
    return new RidgeFit(script, manager, inputs, firstBlock, outputs);
  }

  /**
   * A fit of a layer's queries to foreign keys, without windows of the plan; the caller closes it.
   *
   * @param owner parent of what it holds
   */
  public QueryFit newQueries(int layer, NDManager owner) {
    boolean biased =
        decoder.spec().blocks().get(layer).weights().containsKey(WeightRole.QUERY_KEY_VALUE_BIAS);
    try (NDArray weight = decoder.weight(layer, WeightRole.QUERY_KEY_VALUE, owner);
        NDArray bias =
            biased ? decoder.weight(layer, WeightRole.QUERY_KEY_VALUE_BIAS, owner) : null) {
      return new QueryFit(
          script, layer, decoder.spec().blocks().get(layer).attention(), weight, bias, owner);
    }
  }

  @Override
  public void close() {
    script.close();
    manager.close();
  }
}
