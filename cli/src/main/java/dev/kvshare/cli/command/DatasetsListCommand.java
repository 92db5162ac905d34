package dev.kvshare.cli.command;

import dev.kvshare.cli.ExitCodes;
import dev.kvshare.cli.print.Output;
import dev.kvshare.cli.print.TextTable;
import dev.kvshare.datasets.Dataset;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;

/** {@code kvshare datasets list}. */
@Command(
    name = "list",
    customSynopsis = "kvshare datasets list [OPTIONS]",
    header = "List the data sets.")
final class DatasetsListCommand extends Verb {

  @Override
  public Integer call() {
    Output output = output();
    TextTable table = new TextTable(List.of("name", "origin", "licence", "description"));
    for (Dataset dataset : datasets().list()) {
      List<String> row = new ArrayList<>();
      row.add(dataset.name());
      row.add(dataset.builtIn() ? "built in" : "imported");
      row.add(dataset.licence() == null ? "" : dataset.licence());
      row.add(dataset.description());
      table.add(row);
    }
    table.print(output.results());
    output.note("");
    output.note(
        "use one:  kvshare calibrate --dataset NAME       add one:  kvshare datasets import NAME"
            + " FILE");
    return ExitCodes.DONE;
  }
}
