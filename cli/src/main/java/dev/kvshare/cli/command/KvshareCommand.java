package dev.kvshare.cli.command;

import dev.kvshare.apply.policy.Policy.ToolVersion;
import dev.kvshare.cli.options.CommonOptions;
import dev.kvshare.cli.options.Everyday;
import dev.kvshare.cli.print.Terminal;
import java.util.concurrent.Callable;
import picocli.AutoComplete.GenerateCompletion;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The command without a subcommand: shows what there is. */
@Command(
    name = "kvshare",
    resourceBundle = "dev.kvshare.cli.help",
    versionProvider = KvshareCommand.Version.class,
    synopsisSubcommandLabel = "COMMAND",
    optionListHeading = "%n",
    commandListHeading = "%nCommands%n",
    footerHeading = "%nStart here (without --model, the small built-in model is used)%n",
    subcommands = {
      CalibrateCommand.class,
      ApplyCommand.class,
      EvalCommand.class,
      DatasetsCommand.class,
      InspectCommand.class,
      MeasureCommand.class,
      HelpCommand.class,
      GenerateCompletion.class
    })
public final class KvshareCommand implements Callable<Integer> {

  @Spec private CommandSpec spec;

  @Mixin private CommonOptions common;

  @Everyday
  @Option(
      names = {"-V", "--version"},
      versionHelp = true)
  boolean version;

  private final Terminal terminal;
  private final Interruption interruption;

  public KvshareCommand(Terminal terminal, Interruption interruption) {
    this.terminal = terminal;
    this.interruption = interruption;
  }

  Terminal terminal() {
    return terminal;
  }

  Interruption interruption() {
    return interruption;
  }

  CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() {
    spec.commandLine().usage(terminal.out());
    return ExitCodes.DONE;
  }

  /** The version of this build, from the jar's manifest. */
  static final class Version implements IVersionProvider {

    @Override
    public String[] getVersion() {
      return new String[] {
        "kvshare " + ToolVersion.of(Version.class).version() + " (Java " + Runtime.version() + ")"
      };
    }
  }
}
