package dev.kvshare.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare calibrate}: finds a sharing map and writes it as a policy. */
@Command(
    name = "calibrate",
    sortOptions = false,
    customSynopsis = "kvshare calibrate [OPTIONS]",
    header = "Find layers that can share keys and values, and write a policy.",
    description = {
      "",
      "Runs the model on sample text, ranks the pairs of layers, tries them one after another and"
          + " keeps each pair under which the model's last hidden states stay close to what they"
          + " were. The result is a policy file for 'kvshare apply' and 'kvshare eval', and a"
          + " report to open in a browser.",
      "",
      "All options have defaults: 'kvshare calibrate' calibrates the built-in model on a"
          + " built-in text, in less than a minute."
    },
    footerHeading = "%nExamples%n",
    footer = {
      "  kvshare calibrate",
      "  kvshare calibrate --model models/SmolLM2 --share-layers 8 --out smol8.json",
      "  kvshare calibrate --model model.gguf --kv-budget 0.7 --text notes.txt",
      "  kvshare calibrate --save-stats stats.bin --share-layers 4 --out four.json",
      "  kvshare calibrate --stats stats.bin --share-layers 8 --out eight.json",
      "  zcat corpus.jsonl.gz | kvshare calibrate --text - --field text",
      "",
      "Exit codes: 0 the policy has the wanted size; 3 the size was not reached above the",
      "threshold, and the best policy found was written; 1 failed; 2 bad usage; 130 interrupted."
    })
final class CalibrateCommand extends Verb {

  @Mixin private CalibrateOptions options;

  @Override
  public Integer call() {
    throw new UnsupportedOperationException(options.getClass().getName());
  }
}
