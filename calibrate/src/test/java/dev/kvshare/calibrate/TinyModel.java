package dev.kvshare.calibrate;

import dev.kvshare.model.Checkpoint;
import dev.kvshare.model.Checkpoints;
import dev.kvshare.runtime.ComputeType;
import dev.kvshare.runtime.Decoder;
import dev.kvshare.runtime.DecoderOptions;
import dev.kvshare.runtime.WeightResidency;
import java.nio.file.Path;
import java.util.List;

/** A loaded tiny Llama with its calibrator and six samples of 64 tokens. */
record TinyModel(Checkpoint checkpoint, Decoder decoder, Calibrator calibrator)
    implements AutoCloseable {

  static TinyModel open() {
    return open(KvSharerGolden.path("tiny_llama"));
  }

  static TinyModel open(Path directory) {
    return open(directory, WeightResidency.ALL);
  }

  static TinyModel open(Path directory, WeightResidency residency) {
    Checkpoint checkpoint = Checkpoints.open(directory);
    DecoderOptions options = new DecoderOptions("cpu", ComputeType.FLOAT32, 1);
    Decoder decoder = Decoder.load(checkpoint, options.withResidency(residency));
    return new TinyModel(
        checkpoint, decoder, new Calibrator(decoder, KvSharerGolden.identity(checkpoint, decoder)));
  }

  static List<int[]> samples() {
    return samples("equal_lengths");
  }

  /** Samples of a set of {@code kvsharer_tiny.json}. */
  static List<int[]> samples(String set) {
    return KvSharerGolden.tokenIds(KvSharerGolden.read("kvsharer_tiny.json").get("sets").get(set));
  }

  CalibrationResult calibrate(CalibrationSettings settings) {
    return calibrate(settings, CalibrationListener.NONE);
  }

  CalibrationResult calibrate(CalibrationSettings settings, CalibrationListener listener) {
    return calibrator.calibrate(KvSharerGolden.dataset(), samples(), settings, listener);
  }

  @Override
  public void close() {
    decoder.close();
    checkpoint.close();
  }
}
