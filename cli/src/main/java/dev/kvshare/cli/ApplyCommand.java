package dev.kvshare.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare apply}: generates text with a model under a policy. */
@Command(
    name = "apply",
    sortOptions = false,
    customSynopsis = "kvshare apply [OPTIONS] --prompt TEXT",
    header = "Generate text with a model under a policy.",
    description = {
      "",
      "Continues each prompt with the unchanged model, whose shared layers keep no keys and values"
          + " of their own. Text appears as it is generated. Without --policy the model runs"
          + " unshared, for comparison."
    },
    footerHeading = "%nExamples%n",
    footer = {
      "  kvshare apply --prompt \"It was a fine morning\"",
      "  kvshare apply --model model.gguf --policy policy.json --stats --prompt \"Once upon\"",
      "  kvshare apply --model models/SmolLM2 --policy p.json --chat --prompt \"Why is it dark?\"",
      "  kvshare apply --policy policy.json --prompts prompts.txt --max-tokens 32",
      "  kvshare apply --prompt-ids 5,7,9 --print-ids",
      "",
      "Exit codes: 0 done; 1 failed; 2 bad usage; 130 interrupted."
    })
final class ApplyCommand extends Verb {

  @Mixin private ApplyOptions options;

  @Override
  public Integer call() {
    throw new UnsupportedOperationException(options.getClass().getName());
  }
}
