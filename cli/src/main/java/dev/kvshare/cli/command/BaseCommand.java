package dev.kvshare.cli.command;

import dev.kvshare.apply.model.checkpoint.BuiltInModel;
import dev.kvshare.apply.model.hub.HubSettings;
import dev.kvshare.apply.model.hub.ModelLocator;
import dev.kvshare.cli.options.CommonOptions;
import dev.kvshare.cli.print.DownloadProgress;
import dev.kvshare.cli.print.Output;
import dev.kvshare.datasets.Datasets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.Spec;

/** What every command has: the common options and the way to talk to the user. */
abstract class BaseCommand implements Callable<Integer> {

  @Spec private CommandSpec spec;

  @Mixin private CommonOptions common;

  @Mixin CommonOptions.Configuration configuration;

  /** The streams and the verbosity that the command line asks for. */
  final Output output() {
    KvshareCommand root = root();
    return new Output(
        root.terminal(),
        common.quiet() || root.common().quiet(),
        common.verbose() || root.common().verbose(),
        common.noColor() || root.common().noColor());
  }

  /** The named texts of this user, and those on the hub. */
  final Datasets datasets() {
    return Datasets.ofUser(root().terminal().environment())
        .fetching(
            file -> {
              try (DownloadProgress progress = new DownloadProgress(output())) {
                return ModelLocator.locateData(file, hub(), progress);
              }
            });
  }

  /**
   * The directory or file of a model.
   *
   * @param model a path or a hub id, which is fetched if it is not in the cache; null for the
   *     built-in model
   */
  final Path locate(String model) {
    if (model == null) {
      return BuiltInModel.directory();
    }
    try (DownloadProgress progress = new DownloadProgress(output())) {
      return ModelLocator.locate(model, hub(), progress);
    }
  }

  private HubSettings hub() {
    return HubSettings.of(
        root().terminal().environment(), Path.of(System.getProperty("user.home")));
  }

  final Interruption interruption() {
    return root().interruption();
  }

  /** The words of the command line, as they were given. */
  final List<String> arguments() {
    return spec.root().commandLine().getParseResult().originalArgs();
  }

  /** Whether an option stands on the command line. */
  final boolean given(String option) {
    return spec.commandLine().getParseResult().hasMatchedOption(option);
  }

  /** Refuses options that mean nothing beside another one. */
  final void refuse(String option, String... others) {
    for (String other : others) {
      if (given(option) && given(other)) {
        throw usageError("%s means nothing with %s: leave one out".formatted(other, option));
      }
    }
  }

  /** Refuses an option that means nothing without one of others. */
  final void require(String option, String... others) {
    if (given(option) && Arrays.stream(others).noneMatch(this::given)) {
      throw usageError("%s goes with %s".formatted(option, String.join(" or ", others)));
    }
  }

  /** The words of the command line in long option names, without some of them. */
  final List<String> command(Collection<String> without) {
    ParseResult parsed = spec.commandLine().getParseResult();
    List<String> words = new ArrayList<>(List.of(spec.name()));
    for (OptionSpec option : spec.options()) {
      String name = option.longestName();
      if (parsed.hasMatchedOption(option) && !without.contains(name)) {
        for (String value : parsed.matchedOption(name).stringValues()) {
          words.add(name);
          if (option.arity().max() > 0) {
            words.add(value);
          }
        }
      }
    }
    return words;
  }

  /** An error of the command line itself: exit code 2 and a pointer to the help. */
  final ParameterException usageError(String message) {
    return new ParameterException(spec.commandLine(), message);
  }

  /** A value made of options; what is wrong with them is an error of the command line. */
  final <T> T ofOptions(Supplier<T> value) {
    try {
      return value.get();
    } catch (IllegalArgumentException e) {
      throw usageError(e.getMessage());
    }
  }

  private KvshareCommand root() {
    return (KvshareCommand) spec.root().userObject();
  }
}
