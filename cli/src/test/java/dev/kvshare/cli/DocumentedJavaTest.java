package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.io.StringWriter;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject.Kind;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The Java examples of the documentation compile. */
class DocumentedJavaTest {
  private static final Path ROOT = Path.of(System.getProperty("kvshare.root"));
  private static final Pattern EXAMPLE = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);
  private static final List<String> IMPORTS =
      List.of(
          "ai.djl.inference",
          "ai.djl.repository.zoo",
          "dev.kvshare.apply.decoder",
          "dev.kvshare.apply.djl",
          "dev.kvshare.apply.generate",
          "dev.kvshare.calibrate",
          "dev.kvshare.datasets",
          "dev.kvshare.eval",
          "dev.kvshare.eval.format",
          "java.nio.file");

  @TempDir Path classes;

  @ParameterizedTest
  @ValueSource(strings = {"README.md", "docs/java.md"})
  void compiles(String document) throws IOException {
    List<String> examples =
        EXAMPLE
            .matcher(Files.readString(ROOT.resolve(document)))
            .results()
            .map(found -> found.group(1))
            .toList();
    assertFalse(examples.isEmpty());
    StringBuilder source = new StringBuilder();
    IMPORTS.forEach(name -> source.append("import ").append(name).append(".*;\n"));
    source.append("class Examples {\n");
    for (int i = 0; i < examples.size(); i++) {
      source.append("void e%d() throws Exception {\n%s}\n".formatted(i, examples.get(i)));
    }
    source.append("}\n");
    StringWriter messages = new StringWriter();
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    List<String> options =
        List.of(
            "-proc:none", "-cp", System.getProperty("java.class.path"), "-d", classes.toString());
    boolean compiled =
        compiler
            .getTask(messages, null, null, options, null, List.of(new Source(source.toString())))
            .call();
    assertEquals("", compiled ? "" : messages.toString());
  }

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(String text) {
      super(URI.create("string:///Examples.java"), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }
  }
}
