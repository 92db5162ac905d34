package dev.kvshare.apply.decoder.script;

import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import java.util.List;

/**
 * The arguments of a script method that is called with autograd. The engine takes arrays alone and
 * reads from their names which method is meant and which of them are a list; an array may stand in
 * one argument only.
 */
public final class GradientCall {
  private final NDList inputs = new NDList();

  /**
   * @param scratch owns what the call itself needs
   */
  public GradientCall(PtNDManager scratch, String method) {
    PtNDArray name = scratch.create(new Shape(0), DataType.FLOAT32);
    name.setName("module_method:" + method);
    inputs.add(name);
  }

  /** The next argument, a tensor. */
  public GradientCall with(PtNDArray tensor) {
    tensor.setName(null);
    inputs.add(tensor);
    return this;
  }

  /**
   * The next argument, a list of tensors.
   *
   * @param tensors at least one
   */
  public GradientCall with(List<PtNDArray> tensors) {
    String list = "list" + inputs.size() + "[]";
    for (PtNDArray tensor : tensors) {
      tensor.setName(list);
      inputs.add(tensor);
    }
    return this;
  }

  NDList inputs() {
    return inputs;
  }
}
