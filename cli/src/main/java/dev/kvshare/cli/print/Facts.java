package dev.kvshare.cli.print;

import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;

/** A list of names and values, printed in two columns. */
public final class Facts {
  private record Fact(String name, List<String> lines) {}

  private final List<Fact> facts = new ArrayList<>();

  /** Adds one fact; further lines stand below the first, under the value. */
  public Facts add(String name, String... lines) {
    facts.add(new Fact(name, List.of(lines)));
    return this;
  }

  /** Adds one fact of any number of lines. */
  public Facts add(String name, List<String> lines) {
    facts.add(new Fact(name, List.copyOf(lines)));
    return this;
  }

  public void print(PrintWriter out) {
    int width = facts.stream().mapToInt(fact -> fact.name().length()).max().orElse(0);
    for (Fact fact : facts) {
      String name = fact.name();
      for (String line : fact.lines()) {
        out.println((name + " ".repeat(width - name.length() + 2) + line).stripTrailing());
        name = "";
      }
    }
  }
}
