package dev.kvshare.apply.fuzz;

import com.code_intelligence.jazzer.junit.FuzzTest;
import dev.kvshare.apply.fuzz.Parsers.Parser;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;

/**
 * Coverage-guided fuzzing of what reads the files of strangers, by Jazzer. A build reads the inputs
 * under {@code ParsersFuzzTestInputs}: the sound files that fuzzing starts from and what it found
 * to reach other code. {@code CONTRIBUTING.md} says how to go on from there.
 */
class ParsersFuzzTest {
  @TempDir private static Path folder;

  private static Parsers parsers;

  @BeforeAll
  static void open() {
    parsers = new Parsers(folder);
  }

  @FuzzTest(maxDuration = "1h")
  void safetensors(byte[] file) throws Exception {
    check(parsers.of("safetensors"), file);
  }

  @FuzzTest(maxDuration = "1h")
  void gguf(byte[] file) throws Exception {
    check(parsers.of("gguf"), file);
  }

  @FuzzTest(maxDuration = "1h")
  void configuration(byte[] file) throws Exception {
    check(parsers.of("configuration"), file);
  }

  @FuzzTest(maxDuration = "1h")
  void tokenizer(byte[] file) throws Exception {
    check(parsers.of("tokenizer"), file);
  }

  @FuzzTest(maxDuration = "1h")
  void policy(byte[] file) throws Exception {
    check(parsers.of("policy"), file);
  }

  @FuzzTest(maxDuration = "1h")
  void template(byte[] file) throws Exception {
    check(parsers.of("template"), file);
  }

  /** A fault is thrown. */
  private static void check(Parser parser, byte[] file) throws Exception {
    Object unused = parser.read(file);
  }
}
