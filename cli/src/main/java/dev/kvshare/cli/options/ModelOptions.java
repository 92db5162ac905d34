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
      paramLabel = "MODEL")
  public String model;

  @Option(names = "--device", paramLabel = "NAME", converter = Converters.Device.class)
  String device = "cpu";

  @Everyday
  @Option(names = "--dtype", paramLabel = "NAME", converter = Converters.NumberFormat.class)
  public ComputeType dtype = ComputeType.FLOAT32;

  @Option(names = "--weights", paramLabel = "NAME")
  public WeightForm weights = WeightForm.FULL;

  @Option(names = "--threads", paramLabel = "N", converter = Converters.Positive.class)
  Integer threads;

  /** The data set that the model is calibrated on where no text is named. */
  public final String calibrationDataset() {
    return model == null ? Datasets.DEFAULT_CALIBRATION : Datasets.GENERAL_CALIBRATION;
  }

  public final DecoderOptions decoderOptions() {
    return new DecoderOptions(device, dtype, threads == null ? 0 : threads).withWeights(weights);
  }
}
