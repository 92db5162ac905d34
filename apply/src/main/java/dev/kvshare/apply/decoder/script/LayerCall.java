package dev.kvshare.apply.decoder.script;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import dev.kvshare.apply.decoder.RotaryTables;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Calls methods of {@code queries.py} for one layer. */
public final class LayerCall {
  private final ScriptModule script;
  private final LayerArguments layers;
  private final ScriptArguments model;
  private final RotaryTables rotary;
  private final int layer;

  public LayerCall(
      ScriptModule script,
      LayerArguments layers,
      ScriptArguments model,
      RotaryTables rotary,
      int layer) {
    this.script = script;
    this.layers = layers;
    this.model = model;
    this.rotary = rotary;
    this.layer = layer;
  }

  /** Makes the rotary tables long enough. */
  public void prepare(int tokens) {
    rotary.prepare(0, tokens, tokens);
  }

  /** A method of (arguments, layer, weights, ints, floats). */
  public PtNDArray run(PtNDManager owner, String method, IValue... arguments) {
    return call(owner, method, arguments, List.of(layers.weights(), ints(), model.floats()));
  }

  /** A method of (arguments, layer, weights, ints, floats, cosines, sines). */
  public PtNDArray runTurned(PtNDManager owner, String method, IValue... arguments) {
    return call(
        owner,
        method,
        arguments,
        List.of(layers.weights(), ints(), model.floats(), rotary.cosines(), rotary.sines()));
  }

  /** A method of (arguments, layer, ints, floats, cosines, sines). */
  public PtNDArray runOnNumbers(PtNDManager owner, String method, IValue... arguments) {
    return call(
        owner,
        method,
        arguments,
        List.of(ints(), model.floats(), rotary.cosines(), rotary.sines()));
  }

  /** A method of the arguments alone. */
  public PtNDArray runPlain(PtNDManager owner, String method, IValue... arguments) {
    return script.run(owner, method, arguments);
  }

  private PtNDArray call(
      PtNDManager owner, String method, IValue[] arguments, List<IValue> ofModel) {
    layers.enter(layer);
    try (IValue number = IValue.from((long) layer)) {
      List<IValue> all = new ArrayList<>(Arrays.asList(arguments));
      all.add(number);
      all.addAll(ofModel);
      return script.run(owner, method, all.toArray(IValue[]::new));
    }
  }

  private IValue ints() {
    return layers.numbers().ints();
  }
}
