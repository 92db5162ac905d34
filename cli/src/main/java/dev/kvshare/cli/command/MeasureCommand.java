package dev.kvshare.cli.command;

import dev.kvshare.apply.generate.LoadedModel;
import dev.kvshare.cli.options.ModelOptions;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.ProgressLine;
import dev.kvshare.eval.speed.Measurements;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/**
 * {@code kvshare measure}: loads a model and answers the lines of standard input as {@link
 * Measurements} does, for the scripts in {@code bench/}.
 */
@Command(name = "measure", hidden = true, customSynopsis = "kvshare measure [OPTIONS]")
final class MeasureCommand extends BaseCommand {

  @Mixin private ModelOptions options;

  @Override
  public Integer call() {
    Output output = output();
    long start = System.nanoTime();
    try (LoadedModel model =
            ProgressLine.load(locate(options.model), options.decoderOptions(), output);
        Measurements measurements = new Measurements(model)) {
      answer("{\"load_seconds\":" + (System.nanoTime() - start) / 1e9 + "}", output);
      measurements.answer(System.in, line -> answer(line, output));
      return ExitCodes.DONE;
    } catch (IllegalArgumentException e) {
      throw usageError(e.getMessage());
    }
  }

  private static void answer(String line, Output output) {
    output.results().println(line);
    output.results().flush();
  }
}
