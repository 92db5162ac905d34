package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What the packages of the main sources may use, read off their import lines. */
class ArchitectureTest {
  private static final Path ROOT = Path.of(System.getProperty("kvshare.root"));
  private static final int MOST_FILES = 25;
  private static final Pattern IMPORT =
      Pattern.compile("^import (?:static )?(dev\\.kvshare(?:\\.[a-z]\\w*)*)\\.", Pattern.MULTILINE);

  /** The modules, each with those that it may use. */
  private static final Map<String, Set<String>> MODULES =
      Map.of(
          "datasets", Set.of(),
          "apply", Set.of(),
          "calibrate", Set.of("datasets", "apply"),
          "eval", Set.of("datasets", "apply", "calibrate"),
          "cli", Set.of("datasets", "apply", "calibrate", "eval"));

  private static final Map<String, String> MODULE_OF_PACKAGE = new TreeMap<>();
  private static final Map<String, Set<String>> USES = new TreeMap<>();
  private static final Map<String, Set<String>> FILES = new TreeMap<>();

  @BeforeAll
  static void readImports() throws IOException {
    for (String module : MODULES.keySet()) {
      Path sources = ROOT.resolve(module).resolve("src/main/java");
      try (Stream<Path> files = Files.walk(sources)) {
        files.filter(file -> file.toString().endsWith(".java")).forEach(file -> read(module, file));
      }
    }
  }

  private static void read(String module, Path file) {
    Path folder = ROOT.resolve(module).resolve("src/main/java/dev/kvshare");
    String name = folder.relativize(file.getParent()).toString().replace('/', '.');
    MODULE_OF_PACKAGE.put(name, module);
    FILES.computeIfAbsent(name, n -> new TreeSet<>()).add(file.getFileName().toString());
    Set<String> uses = USES.computeIfAbsent(name, n -> new TreeSet<>());
    try {
      for (Matcher line = IMPORT.matcher(Files.readString(file)); line.find(); ) {
        uses.add(line.group(1).substring("dev.kvshare.".length()));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    uses.remove(name);
  }

  @Test
  void theSourcesWereRead() {
    assertEquals(MODULES.keySet(), new HashSet<>(MODULE_OF_PACKAGE.values()));
    assertFalse(USES.get("cli.command").isEmpty());
  }

  @Test
  void noPackageUsesItselfThroughOthers() {
    List<String> cycles = new ArrayList<>();
    for (String start : USES.keySet()) {
      Set<String> seen = new HashSet<>();
      Deque<String> open = new ArrayDeque<>(List.of(start));
      while (!seen.contains(start) && !open.isEmpty()) {
        for (String used : USES.get(open.pop())) {
          if (seen.add(used)) {
            open.push(used);
          }
        }
      }
      if (seen.contains(start)) {
        cycles.add(start);
      }
    }
    assertEquals(List.of(), cycles);
  }

  @Test
  void modulesUseOnlyWhatTheyMay() {
    List<String> wrong = new ArrayList<>();
    USES.forEach(
        (name, uses) -> {
          String module = MODULE_OF_PACKAGE.get(name);
          for (String used : uses) {
            String other = MODULE_OF_PACKAGE.get(used);
            if (!module.equals(other) && !MODULES.get(module).contains(other)) {
              wrong.add(name + " uses " + used);
            }
          }
        });
    assertEquals(List.of(), wrong);
  }

  @Test
  void noFolderIsCrowded() {
    List<String> large = new ArrayList<>();
    FILES.forEach(
        (name, files) -> {
          if (files.size() > MOST_FILES) {
            large.add(name + " has " + files.size() + " files");
          }
        });
    assertEquals(List.of(), large);
  }

  @Test
  void everyPackageSaysWhatItIsFor() {
    List<String> silent = new ArrayList<>();
    FILES.forEach(
        (name, files) -> {
          if (!files.contains("package-info.java")) {
            silent.add(name);
          }
        });
    assertEquals(List.of(), silent);
  }
}
