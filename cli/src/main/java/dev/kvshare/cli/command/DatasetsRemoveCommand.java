package dev.kvshare.cli.command;

import dev.kvshare.cli.ExitCodes;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code kvshare datasets remove}. */
@Command(
    name = "remove",
    customSynopsis = "kvshare datasets remove [OPTIONS] NAME",
    header = "Delete an imported data set.",
    description = "")
final class DatasetsRemoveCommand extends Verb {

  @Parameters(paramLabel = "NAME", description = "A name of 'kvshare datasets list'.")
  private String name;

  @Override
  public Integer call() {
    datasets().remove(name);
    output().results().println("removed " + name);
    return ExitCodes.DONE;
  }
}
