package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.cli.command.ExitCodes;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class UsageErrorTest {

  private record Mistake(String commandLine, List<String> fragments) {
    @Override
    public String toString() {
      return commandLine;
    }
  }

  private static Mistake mistake(String commandLine, String... fragments) {
    return new Mistake(commandLine, List.of(fragments));
  }

  static Stream<Mistake> mistakes() {
    return Stream.of(
        mistake("calibrat", "calibrat", "Did you mean calibrate?", "kvshare --help"),
        mistake("calibrate --share-layer 4", "--share-layer", "Did you mean --share-layers?"),
        mistake("calibrate --share-layers none", "--share-layers", "'none' is not a whole number"),
        mistake(
            "calibrate --share-layers 4 --keep 0.7", "--keep means nothing with --share-layers"),
        mistake("calibrate --keep 7", "Not an amount to keep", "0.7"),
        mistake("calibrate --method best", "'best'", "kvsharer, similar, random, layer-order"),
        mistake("calibrate --method dissimilar", "called kvsharer now"),
        mistake("calibrate --method beam", "was removed"),
        mistake("calibrate --strategy auto", "'--strategy'", "called --method now"),
        mistake("calibrate --kv-budget 7", "Not an amount to keep"),
        mistake("calibrate --window-layers 3 --keep 70%", "--keep means nothing with"),
        mistake("calibrate --no-windows", "Use --method share"),
        mistake("calibrate --scheme yoco", "--method NAME"),
        mistake("calibrate --heal", "Healing was removed"),
        mistake("calibrate --method lckv --threshold 0.6", "leave out", "--threshold"),
        mistake("calibrate --method lckv --keep 70%", "leave out", "--keep"),
        mistake("calibrate --method yoco --resume", "leave out", "--resume"),
        mistake("calibrate --method yoco --layer-types 0_1", "--method and --layer-types"),
        mistake("calibrate --kv-layers 3", "--kv-layers and --warmup belong to a scheme"),
        mistake("calibrate --method kvsharer --repair-tokens 9", "add --repair"),
        mistake("calibrate --repair --no-repair", "--repair means nothing with --no-repair"),
        mistake("calibrate --stats s --samples 3", "means nothing with --stats"),
        mistake("calibrate --threshold 2", "cosine similarity", "2.0"),
        mistake("calibrate --batch-memory much", "'much' is not an amount of memory"),
        mistake("calibrate --report r.html --no-report", "--no-report means nothing with --report"),
        mistake("calibrate --stats s --text t", "means nothing with --stats"),
        mistake("calibrate --text a --dataset b", "--text and --dataset"),
        mistake("calibrate --text a --text b", "--text is given 2 times"),
        mistake("eval --text a --text b", "--text is given 2 times"),
        mistake("eval --task t.jsonl --text a", "--text means nothing with --task"),
        mistake("eval --speed-context --text a", "--text means nothing with --speed-context"),
        mistake("eval --speed-context=512,long", "--speed-context", "'long' is not a whole number"),
        mistake("eval --speed-budget 1GiB", "--speed-budget goes with --speed-context"),
        mistake("eval --limit 3", "--limit goes with --task"),
        mistake("eval --policy p --stride 4 --cache h2o", "--cache means nothing with --stride"),
        mistake("calibrate --field text", "--field", "--text"),
        mistake("apply --temperature -1 --prompt x", "temperature", "at least 0"),
        mistake("apply --top-p 0 --prompt x", "top-p"),
        mistake("apply --system s --prompt x", "--system", "--chat"),
        mistake("apply --prompt x --prompt-ids 1", "--prompt-ids cannot be combined"),
        mistake("apply --device gpu", "'gpu' is neither cpu nor cuda:0"),
        mistake("apply --dtype int8", "--dtype", "bfloat16"),
        mistake("eval --passage-tokens 1", "--passage-tokens must be at least 2"),
        mistake("eval --format xml", "--format", "MARKDOWN"),
        mistake("eval --window=1", "--passage-tokens must be at least 2"),
        mistake("eval --json --format csv", "--json and --format"),
        mistake("eval --compare 2 --policy p", "--policy means nothing with --compare"),
        mistake("eval --compare 2 --sweep", "--sweep means nothing with --compare"),
        mistake("eval --compare 2 --rounds 2", "--rounds means nothing with --compare"),
        mistake("eval --compare-folder f", "--compare-folder goes with --compare"),
        mistake("eval --sweep-window 9", "--sweep-window goes with --sweep"),
        mistake("eval --no-repair", "--no-repair goes with --policy or --sweep"),
        mistake("eval --repair-text t", "--repair-text goes with --compare or --sweep"),
        mistake("eval --sweep --no-repair --repair-tokens 9", "--no-repair"),
        mistake("eval --cache-prompt 9", "--cache-prompt goes with --cache"),
        mistake("eval --no-speed --rounds 2", "--rounds means nothing with --no-speed"),
        mistake("eval --stream 2000 --passages 3", "--passages means nothing with --stream"),
        mistake("inspect a b", "'b'"),
        mistake("inspect --check f --tolerance=-1", "--tolerance"),
        mistake("datasets", "Name a command"),
        mistake("datasets import name", "FILE"));
  }

  @ParameterizedTest
  @MethodSource("mistakes")
  void namesTheMistakeAndTheHelp(Mistake mistake) {
    CommandRun.of((Object[]) mistake.commandLine().split(" "))
        .fails(ExitCodes.USAGE, mistake.fragments().toArray(String[]::new))
        .fails(ExitCodes.USAGE, "--help");
  }

  @Test
  void optionsOfEarlierReleasesAreUnderstood() {
    CommandRun run = CommandRun.of("eval", "--window=1").fails(ExitCodes.USAGE, "--passage-tokens");
    assertTrue(run.err().startsWith("kvshare eval: --window is called --passage-tokens now."));
  }

  @Test
  void aCommandMustBeOneOfOurs() {
    CommandRun.of("calibrate", "apply").fails(ExitCodes.USAGE, "'apply'");
  }
}
