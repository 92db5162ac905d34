package dev.kvshare.apply.fuzz;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kvshare.apply.fuzz.Parsers.Refusal;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What fuzzing found beside what the Python readers make of it ({@code
 * src/test/python/make_fuzz_verdicts.py}): safetensors, gguf, json, tokenizers, and transformers'
 * templates. What both read holds the same; what Python refuses is refused here too. kvshare
 * refuses more than Python does.
 */
class DifferentialTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** A folder of inputs and {@code verdicts.json}; by default those of the build. */
  private static final String INPUTS = System.getProperty("kvshare.fuzz.inputs");

  @TempDir private Path folder;

  @ParameterizedTest
  @ValueSource(
      strings = {"safetensors", "gguf", "configuration", "policy", "tokenizer", "template"})
  void agreesWithPython(String kind) throws Exception {
    Path resources =
        Path.of(
            System.getProperty("kvshare.root"), "apply/src/test/resources/dev/kvshare/apply/fuzz");
    Path inputs = INPUTS == null ? resources.resolve("ParsersFuzzTestInputs") : Path.of(INPUTS);
    Path recorded = (INPUTS == null ? resources : inputs).resolve("verdicts.json");
    JsonNode verdicts = JSON.readTree(recorded.toFile()).get(kind);
    Parsers.Parser parser = new Parsers(folder).of(kind);
    List<String> faults = new ArrayList<>();
    int both = 0;
    int stricter = 0;
    for (Path input : files(inputs.resolve(kind))) {
      String name = input.getFileName().toString();
      JsonNode python = verdicts.get(name);
      assertTrue(python != null, "no verdict on " + kind + "/" + name + ": record it");
      Object found = parser.read(Files.readAllBytes(input));
      if (found instanceof Refusal refusal) {
        stricter += python.has("read") ? 1 : 0;
        print(kind, name, refusal.message());
      } else if (python.has("refused")) {
        faults.add(name + ": read here, but Python says " + python.get("refused"));
      } else {
        both++;
        JsonNode here = JSON.valueToTree(found);
        if (!here.equals(python.get("read"))) {
          faults.add(name + ": " + here + " here, but in Python " + python.get("read"));
        }
      }
    }
    print(kind, verdicts.size() + " inputs", both + " read by both, " + stricter + " by Python");
    assertEquals(List.of(), faults);
    assertTrue(both > 0);
  }

  private static List<Path> files(Path folder) throws IOException {
    try (Stream<Path> entries = Files.list(folder)) {
      return entries.sorted().toList();
    }
  }

  private static void print(String kind, String name, String message) {
    if (INPUTS != null) {
      System.out.println(kind + ": " + name + ": " + message);
    }
  }
}
