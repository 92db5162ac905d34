package dev.kvshare.cli.options;

import dev.kvshare.apply.decoder.ComputeType;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.weights.WeightForm;
import dev.kvshare.datasets.Datasets;
import picocli.CommandLine.Option;

/** Which model, and where it runs. */
public class ModelOptions {

  @Option(
      names = {"-m", "--model"},
      paramLabel = "MODEL",
      description =
          "A Hugging Face directory (config.json, *.safetensors, tokenizer.json), a .gguf file, or a"
              + " hub id org/name[@revision], whose files are fetched into the Hugging Face cache."
              + " Default: the built-in model.")
  public String model;

  @Option(
      names = "--device",
      paramLabel = "NAME",
      converter = Converters.Device.class,
      description = "cpu, or cuda:0 and so on. Default: cpu.")
  String device = "cpu";

  @Option(
      names = "--dtype",
      paramLabel = "NAME",
      converter = Converters.NumberFormat.class,
      description =
          "Number format of weights and KV cache: float32, bfloat16 or float16. Default: float32.")
  public ComputeType dtype = ComputeType.FLOAT32;

  @Option(
      names = "--weights",
      paramLabel = "NAME",
      description =
          "How weights are kept: full (numbers of --dtype) or int8 (8-bit integers with a scale a row,"
              + " on the cpu: less memory, faster decoding). Default: full.")
  public WeightForm weights = WeightForm.FULL;

  @Option(
      names = "--threads",
      paramLabel = "N",
      converter = Converters.Positive.class,
      description = "Threads for the computation. Default: one a core.")
  Integer threads;

  /** The data set that the model is calibrated on where no text is named. */
  public final String calibrationDataset() {
    return model == null ? Datasets.DEFAULT_CALIBRATION : Datasets.GENERAL_CALIBRATION;
  }

  public final DecoderOptions decoderOptions() {
    return new DecoderOptions(device, dtype, threads == null ? 0 : threads).withWeights(weights);
  }
}
