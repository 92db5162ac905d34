package dev.kvshare.calibrate;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.nio.file.Path;
import java.util.List;

/** A loaded tiny Llama with its calibrator and six samples of 64 tokens. */
public record TinyModel(Checkpoint checkpoint, Decoder decoder, Calibrator calibrator)
    implements AutoCloseable {

  public static TinyModel open() {
    return open(KvSharerGolden.path("tiny_llama"));
  }

  public static TinyModel open(Path directory) {
    return open(directory, WeightResidency.ALL);
  }

  public static TinyModel open(Path directory, WeightResidency residency) {
    Checkpoint checkpoint = Checkpoints.open(directory);
    DecoderOptions options = new DecoderOptions("cpu", ComputeType.FLOAT32, 1);
    Decoder decoder = Decoder.load(checkpoint, options.withResidency(residency));
    return new TinyModel(
        checkpoint, decoder, new Calibrator(decoder, KvSharerGolden.identity(checkpoint, decoder)));
  }

  public static List<int[]> samples() {
    return samples("equal_lengths");
  }

  /** Samples of a set of {@code kvsharer_tiny.json}. */
  public static List<int[]> samples(String set) {
    return KvSharerGolden.tokenIds(KvSharerGolden.read("kvsharer_tiny.json").get("sets").get(set));
  }

  public CalibrationResult calibrate(CalibrationSettings settings) {
    return calibrate(settings, CalibrationListener.NONE);
  }

  public CalibrationResult calibrate(CalibrationSettings settings, CalibrationListener listener) {
    return calibrator.calibrate(KvSharerGolden.dataset(), samples(), settings, listener);
  }

  @Override
  public void close() {
    decoder.close();
    checkpoint.close();
  }
}
