package dev.kvshare.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The launcher, with a Java that prints how it was called. */
@EnabledOnOs({OS.LINUX, OS.MAC})
class LauncherTest {
  @TempDir Path folder;
  private Path home;

  @BeforeEach
  void install() throws IOException {
    folder = folder.toRealPath();
    home = Files.createDirectories(folder.resolve("a folder/kv"));
    Files.copy(Path.of(System.getProperty("kvshare.root"), "kvshare"), home.resolve("kvshare"));
    script("java/bin/java", "printf '%s\\n' \"LC_ALL=${LC_ALL:-}\" \"$@\"");
    Files.writeString(folder.resolve("java/release"), "JAVA_VERSION=\"17.0.1\"\n");
  }

  /**
   * As from the archive: called by a link from elsewhere, with CDPATH, no Maven and no compiler.
   */
  @Test
  void aBuiltCopyNeedsAJavaRuntimeAlone() throws Exception {
    buildCopy();
    Files.createSymbolicLink(
        Files.createDirectory(folder.resolve("bin")).resolve("kv"),
        Path.of("../a folder/kv/kvshare"));

    List<String> call = run(0, Map.of("CDPATH", folder.toString()), "bin/kv", "a b", "c");

    assertTrue(call.contains("-Dkvshare.home=" + home), call.toString());
    int classPath = call.indexOf("-cp") + 1;
    assertEquals(home + "/lib/a.jar:" + home + "/lib/b.jar:", call.get(classPath));
    assertEquals(
        List.of("dev.kvshare.cli.Main", "a b", "c"), call.subList(classPath + 1, call.size()));
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(3, files.count(), "nothing was made beside a folder, java and bin");
    }
  }

  @Test
  void aLocaleThatIsNotInstalledIsReplaced() throws Exception {
    buildCopy();
    assertEquals(
        "LC_ALL=C.UTF-8", run(0, Map.of("LANG", "xx_XX.UTF-8"), "a folder/kv/kvshare").get(0));
    assertEquals("LC_ALL=C.UTF-8", run(0, Map.of("LANG", "C"), "a folder/kv/kvshare").get(0));
    assertTrue(Main.isGarbled(new String[] {"a\uFFFD"}, "ANSI_X3.4-1968"));
    assertFalse(Main.isGarbled(new String[] {"a\uFFFD"}, "UTF-8"));
    assertFalse(Main.isGarbled(new String[] {"a"}, "ANSI_X3.4-1968"));
  }

  @Test
  void saysWhatIsMissingToBuild() throws Exception {
    script("java/bin/javac", "");
    String message = String.join("\n", run(1, Map.of(), "a folder/kv/kvshare"));
    assertTrue(message.contains("mvn was not found"), message);
    assertTrue(message.contains("needs a Java runtime only"), message);
  }

  @Test
  void refusesAFolderThatJavaCannotName() throws Exception {
    Path odd = Files.createDirectories(folder.resolve("a:b"));
    Files.copy(home.resolve("kvshare"), odd.resolve("kvshare"));
    String message = String.join("\n", run(1, Map.of(), "a:b/kvshare"));
    assertTrue(message.contains("colon"), message);
  }

  @Test
  void aWarningIsOnePlainLine() throws Exception {
    Path golden =
        Path.of(
            System.getProperty("kvshare.root"),
            "apply/src/test/resources/goldens/architectures/llama");
    Path model = Files.createDirectory(folder.resolve("model"));
    Files.copy(golden.resolve("model.safetensors"), model.resolve("model.safetensors"));
    Files.writeString(
        model.resolve("config.json"),
        Files.readString(golden.resolve("config.json"))
            .replaceFirst("\\{", "{\"finetuned\": true,"));
    Path log = folder.resolve("log");
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin/java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName(),
                "inspect",
                model.toString())
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .redirectError(log.toFile())
            .start();
    assertEquals(0, process.waitFor());
    assertEquals(
        "kvshare: WARN %s/config.json: kvshare ignores finetuned, as transformers does for this kind of model.\n"
            .formatted(model),
        Files.readString(log));
  }

  private void buildCopy() throws IOException {
    Files.createDirectory(home.resolve("lib"));
    Files.createFile(home.resolve("lib/b.jar"));
    Files.createFile(home.resolve("lib/a.jar"));
  }

  private void script(String name, String body) throws IOException {
    Path file = folder.resolve(name);
    Files.createDirectories(file.getParent());
    Files.writeString(file, "#!/bin/sh\n" + body + "\n");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  /** The lines that a call prints, which has the usual tools but no Maven on its search path. */
  private List<String> run(int exitCode, Map<String, String> environment, String... words)
      throws Exception {
    for (String tool :
        List.of("bash", "dirname", "readlink", "find", "mkdir", "locale", "uname", "flock")) {
      Path place = Path.of(Files.exists(Path.of("/bin", tool)) ? "/bin" : "/usr/bin", tool);
      script("java/tools/" + tool, "exec " + place + " \"$@\"");
    }
    ProcessBuilder builder =
        new ProcessBuilder(words).directory(folder.toFile()).redirectErrorStream(true);
    builder.environment().clear();
    builder.environment().put("PATH", folder.resolve("java/tools").toString());
    builder.environment().put("JAVA_HOME", folder.resolve("java").toString());
    builder.environment().putAll(environment);
    Process process = builder.start();
    String printed =
        new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
    assertEquals(exitCode, process.waitFor(), printed);
    return printed.lines().toList();
  }
}
