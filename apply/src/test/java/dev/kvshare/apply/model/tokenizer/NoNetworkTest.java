package dev.kvshare.apply.model.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kvshare.apply.decoder.Decoder;
import dev.kvshare.apply.decoder.DecoderOptions;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.TokenizerSource;
import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.io.IOException;
import java.net.Proxy;
import java.net.URL;
import java.net.URLConnection;
import java.net.URLStreamHandler;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * A program that uses tokenizer and decoder without any setting opens no connection: no usage
 * report, no look for a cloud metadata host, no download. What the program itself does with DJL
 * stays as it was: its system properties are not changed. Runs in its own JVM, because this one's
 * settings switch all of that off anyway.
 */
class NoNetworkTest {

  @Test
  void opensNoConnection() throws IOException, InterruptedException {
    String classPath =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                classPath,
                Program.class.getName(),
                TokenizerCases.FOLDER.resolve("gpt-2").toAbsolutePath().toString(),
                Path.of("src/test/resources/goldens/architectures/llama")
                    .toAbsolutePath()
                    .toString())
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(
        List.of("connections: []", "the program's properties: [null, null]"),
        output.lines().toList());
    assertEquals(0, process.waitFor());
  }

  /** Loads a tokenizer and prints the addresses that were asked for. */
  static final class Program {
    private Program() {}

    public static void main(String[] arguments) {
      List<URL> asked = new ArrayList<>();
      URLStreamHandler recorder =
          new URLStreamHandler() {
            @Override
            protected URLConnection openConnection(URL url) throws IOException {
              asked.add(url);
              throw new IOException("refused by the test");
            }

            @Override
            protected URLConnection openConnection(URL url, Proxy proxy) throws IOException {
              return openConnection(url);
            }
          };
      URL.setURLStreamHandlerFactory(protocol -> protocol.startsWith("http") ? recorder : null);
      TokenizerSource source = new TokenizerSource.TokenizerFile(Path.of(arguments[0]));
      try (Tokenizer tokenizer = Tokenizer.load(source, TokenizerCases.config("llama"))) {
        tokenizer.encode("hello", true);
      }
      try (Checkpoint checkpoint = Checkpoints.open(Path.of(arguments[1]))) {
        Decoder.load(checkpoint, DecoderOptions.DEFAULT).close();
      }
      System.out.println("connections: " + asked);
      System.out.println(
          "the program's properties: "
              + Arrays.asList(
                  System.getProperty("ai.djl.offline"), System.getProperty("OPT_OUT_TRACKING")));
    }
  }
}
