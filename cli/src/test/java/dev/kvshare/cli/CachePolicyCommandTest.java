package dev.kvshare.cli;

import static dev.kvshare.cli.CommandRun.TINY_MODEL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Cache policies on the command line, on a model of random weights. */
class CachePolicyCommandTest {
  private static final String PROMPT = "5,7,9,11,13,15,17,19,21,23,25,27,29,31,33,35,37,39,41,43";

  private static CommandRun apply(Object... more) {
    Object[] first = {
      "apply", "-m", TINY_MODEL, "--prompt-ids", PROMPT, "--print-ids", "-n", 8, "--threads", 1
    };
    return CommandRun.of(Stream.concat(Arrays.stream(first), Arrays.stream(more)).toArray());
  }

  @ParameterizedTest
  @ValueSource(strings = {"streaming-llm", "h2o", "SnapKV", "pyramid", "h2o+int8"})
  void anAmpleBudgetGivesTheTextOfTheWholeCache(String name) {
    String whole = apply().succeeds().out();
    CommandRun run = apply("--cache", name, "--cache-budget", 100, "--stats").succeeds();
    assertEquals(whole, run.out());
    assertTrue(run.err().contains("cache policy"), run.err());
  }

  @ParameterizedTest
  @CsvSource({
    "streaming-llm, StreamingLLM: 4 sinks and the last tokens",
    "h2o, H2O: 8 tokens",
    "snapkv, SnapKV: 8 tokens of the prompt",
    "pyramid, PyramidKV: 8 tokens of the prompt in the mean",
    "snapkv+int8, 8-bit integers"
  })
  void aSmallBudgetIsKept(String name, String description) {
    CommandRun run =
        apply("--cache", name, "--cache-budget", 8, "--stats", "--stats-every", 4).succeeds();
    assertTrue(run.err().contains(description), run.err());
    assertTrue(run.err().contains("4 tokens: KV cache "), run.err());
  }

  @Test
  void wrongCombinationsAreUsageErrors() {
    apply("--cache", "lru").fails(ExitCodes.USAGE, "'lru' is not known", "streaming-llm");
    apply("--cache", "h2o", "--cache-sinks", 2)
        .fails(ExitCodes.USAGE, "--cache-sinks is an option of --cache streaming-llm");
    apply("--cache-budget", 8).fails(ExitCodes.USAGE, "--cache-budget is an option of");
    apply("--cache", "h2o", "--cache-budget", "half").fails(ExitCodes.USAGE, "'half' is no amount");
    apply("--cache", "h2o,snapkv").fails(ExitCodes.USAGE, "one cache policy");
  }

  @Test
  void whatDoesNotFitTheModelOrThePromptIsSaid() {
    apply("--cache", "streaming-llm", "--cache-budget", 4)
        .fails(ExitCodes.FAILED, "4 sinks leave no room", "budget of 4 tokens");
    Object gpt2 = TINY_MODEL.resolveSibling("../architectures/gpt2").normalize();
    CommandRun.of("apply", "-m", gpt2, "--prompt-ids", "5,7", "--cache", "streaming-llm")
        .fails(ExitCodes.FAILED, "learned positions", "h2o");
    CommandRun.of(
            "apply", "-m", gpt2, "--prompt-ids", PROMPT, "-n", 2, "--print-ids", "--cache", "h2o")
        .succeeds();
  }
}
