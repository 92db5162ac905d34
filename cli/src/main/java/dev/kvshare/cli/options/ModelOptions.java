package dev.kvshare.cli.options;

import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.decoder.DecoderOptions.WeightForm;
import dev.kvshare.apply.decoder.script.ComputeType;
import dev.kvshare.datasets.Datasets;
import picocli.CommandLine.Option;

/** Which model, and where it runs. */
public class ModelOptions {

  @Everyday
  @Option(
      names = {"-m", "--model"},
      paramLabel = "MODEL",
      description = {
        "A model directory, a .gguf file or a hub id org/name. Default: the built-in model.",
        "A directory has config.json, *.safetensors and tokenizer.json, as on the Hugging Face hub. The files of a hub id org/name[@revision] are fetched into the Hugging Face cache."
      })
  public String model;

  @Option(
      names = "--device",
      paramLabel = "NAME",
      converter = Converters.Device.class,
      description = "cpu, or cuda:0 and so on. Default: cpu.")
  String device = "cpu";

  @Everyday
  @Option(
      names = "--dtype",
      paramLabel = "NAME",
      converter = Converters.NumberFormat.class,
      description = {
        "float32, bfloat16 or float16, for weights and KV cache. Default: float32.",
        "Short names are understood: f32 and fp32, bf16, f16 and fp16."
      })
  public ComputeType dtype = ComputeType.FLOAT32;

  @Option(
      names = "--weights",
      paramLabel = "NAME",
      description =
          "How weights are kept: full (in --dtype) or int8 (8-bit integers with a scale a row, on the cpu: less memory, faster decoding). Default: full.")
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
