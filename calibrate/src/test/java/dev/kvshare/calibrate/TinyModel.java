package dev.kvshare.calibrate;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecoderOptions.WeightResidency;
import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.datasets.Corpus;
import java.nio.file.Path;
import java.util.List;

/** A loaded tiny Llama with six samples of 64 tokens. */
public record TinyModel(LoadedModel loaded) implements AutoCloseable {
  public static TinyModel open() {
    return open(KvSharerGolden.path("tiny_llama"));
  }

  public static TinyModel open(Path directory) {
    return open(directory, WeightResidency.ALL);
  }

  public static TinyModel open(Path directory, WeightResidency residency) {
    return open(directory, OPTIONS.withResidency(residency));
  }

  public static TinyModel open(Path directory, DecoderOptions options) {
    return new TinyModel(LoadedModel.open(directory, options));
  }

  /** One thread, float32. */
  public static final DecoderOptions OPTIONS =
      new DecoderOptions("cpu", DecoderOptions.DEFAULT.computeType(), 1);

  public Decoder decoder() {
    return loaded.decoder();
  }

  /** The papers' method on the samples. */
  public Calibration calibration() {
    return calibration(samples());
  }

  /** The papers' method on other samples. */
  public Calibration calibration(List<int[]> samples) {
    return Calibration.of(loaded)
        .text(corpus(samples))
        .tokensPerSample(Integer.MAX_VALUE)
        .method("kvsharer");
  }

  /** Token ids as a text. */
  public static Corpus corpus(List<int[]> samples) {
    return new Corpus.Tokens(
        KvSharerGolden.dataset().name(), KvSharerGolden.dataset().sha256(), samples);
  }

  public static List<int[]> samples() {
    return samples("equal_lengths");
  }

  /** Samples of a set of {@code kvsharer_tiny.json}. */
  public static List<int[]> samples(String set) {
    return KvSharerGolden.tokenIds(KvSharerGolden.read("kvsharer_tiny.json").get("sets").get(set));
  }

  @Override
  public void close() {
    loaded.close();
  }
}
