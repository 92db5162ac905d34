package dev.kvshare.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code kvshare inspect}: explains a model or a policy, or checks what a model computes. */
@Command(
    name = "inspect",
    sortOptions = false,
    customSynopsis = "kvshare inspect [OPTIONS] [TARGET]",
    header = "Explain a model directory, a GGUF file or a policy.",
    description = {
      "",
      "Of a model it says the family, layers, heads, what the KV cache costs, which layers may"
          + " share, and how much context fits into a given memory. Of a policy it draws the map and"
          + " says where it came from and what it saves.",
      "",
      "With --check it runs the model on the 'input_ids' of a .safetensors file and compares with"
          + " the 'logits', 'last_hidden' and 'greedy' stored there: so you can verify that your"
          + " checkpoint computes what another implementation computed.",
      ""
    },
    footerHeading = "%nExamples%n",
    footer = {
      "  kvshare inspect",
      "  kvshare inspect model.gguf --memory 16GiB",
      "  kvshare inspect policy.json",
      "  kvshare inspect models/SmolLM2 --check reference.safetensors --tolerance 1e-3",
      "",
      "Exit codes: 0 done; 3 a difference is above the tolerance; 1 failed; 2 bad usage;",
      "130 interrupted."
    })
final class InspectCommand extends Verb {

  @Mixin private InspectOptions options;

  @Override
  public Integer call() {
    throw new UnsupportedOperationException(options.getClass().getName());
  }
}
