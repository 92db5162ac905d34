package dev.kvshare.apply.decoder.weights;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.script.ScriptArguments;
import dev.kvshare.apply.decoder.script.ScriptModule;
import dev.kvshare.apply.family.spec.WeightRole;
import dev.kvshare.apply.family.spec.WeightSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Tokens with the rows of an embedding that they name, where the whole of it is not in memory. */
public final class EmbeddedTokens implements AutoCloseable {
  private final PtNDManager manager;
  private final PtNDArray rows;
  private final IValue model;

  /**
   * @param ids int64 [B, T]
   * @param embedding [V, E], one tensor stored as it is used
   * @param outer tensors outside the layers in the order of {@link ScriptArguments#MODEL_ROLES}
   */
  public EmbeddedTokens(
      PtNDArray ids,
      WeightLoader loader,
      WeightSpec embedding,
      List<PtNDArray> outer,
      ScriptModule script) {
    this.manager = (PtNDManager) ids.getManager().newSubManager();
    try {
      long[] tokens = ids.toLongArray();
      int[] named = Arrays.stream(tokens).mapToInt(Math::toIntExact).sorted().distinct().toArray();
      for (int i = 0; i < tokens.length; i++) {
        tokens[i] = Arrays.binarySearch(named, Math.toIntExact(tokens[i]));
      }
      this.rows = (PtNDArray) manager.create(tokens, ids.getShape());
      List<PtNDArray> tensors = new ArrayList<>(outer);
      tensors.set(
          ScriptArguments.MODEL_ROLES.indexOf(WeightRole.EMBEDDING),
          loader.into(manager).rows(embedding, named));
      this.model = script.passed(tensors);
    } catch (RuntimeException | Error e) {
      manager.close();
      throw e;
    }
  }

  /** For each token the number of its row among those in memory, int64 [B, T]. */
  public PtNDArray rows() {
    return rows;
  }

  /** Tensors outside the layers, with these rows as the embedding. */
  public IValue model() {
    return model;
  }

  @Override
  public void close() {
    model.close();
    manager.close();
  }
}
