package dev.kvshare.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare eval}: compares the unshared model and policies side by side. */
@Command(
    name = "eval",
    sortOptions = false,
    customSynopsis = "kvshare eval [OPTIONS] [--policy FILE]...",
    header = "Compare policies: quality, speed and memory.",
    description = {
      "",
      "Measures the perplexity of the unshared model and of each policy on the same windows of a"
          + " text, with its standard error, and what the KV cache costs; then the speed of prompts"
          + " and of decoding. One row each; 'ratio' is the perplexity against the unshared model."
    },
    footerHeading = "%nExamples%n",
    footer = {
      "  kvshare eval --policy policy.json",
      "  kvshare eval --model model.gguf --policy four.json --policy eight.json --text book.txt",
      "  kvshare eval --policy policy.json --windows 40 --no-speed --format markdown",
      "  kvshare eval --policy policy.json --json result.json",
      "",
      "Exit codes: 0 done; 1 failed; 2 bad usage; 130 interrupted."
    })
final class EvalCommand extends Verb {

  @Mixin private EvalOptions options;

  @Override
  public Integer call() {
    throw new UnsupportedOperationException(options.getClass().getName());
  }
}
