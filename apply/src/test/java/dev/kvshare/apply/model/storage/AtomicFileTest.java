package dev.kvshare.apply.model.storage;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFileTest {
  @TempDir Path folder;

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private List<Path> files() throws IOException {
    try (var files = Files.list(folder)) {
      return files.toList();
    }
  }

  @Test
  void writesAndReplaces() throws IOException {
    Path target = folder.resolve("a.txt");
    AtomicFile.write(target, out -> out.write(bytes("one")));
    AtomicFile.write(target, out -> out.write(bytes("two")));

    assertEquals("two", Files.readString(target));
    assertEquals(List.of(target), files());
  }

  @Test
  void aFailureLeavesTheOldFileAndNothingElse() throws IOException {
    Path target = folder.resolve("a.txt");
    AtomicFile.write(target, out -> out.write(bytes("one")));
    OutputException error =
        assertThrows(
            OutputException.class,
            () ->
                AtomicFile.write(
                    target,
                    out -> {
                      out.write(bytes("tw"));
                      throw new IOException("No space left on device");
                    }));

    assertTrue(error.getMessage().contains("No space left on device"), error.getMessage());
    assertEquals("one", Files.readString(target));
    assertEquals(List.of(target), files());
  }

  /** A process that was killed while it wrote; those of others that still run stay. */
  @Test
  void whatAKilledProcessLeftIsDeleted() throws Exception {
    Path target = folder.resolve("a.txt");
    Process ended = new ProcessBuilder("true").start();
    ended.waitFor();
    Files.writeString(folder.resolve(".a.txt." + ended.pid() + "-1f.tmp"), "on");
    Path running = folder.resolve(".a.txt." + ProcessHandle.current().pid() + "-1f.tmp");
    Path other = folder.resolve(".b.txt." + ended.pid() + "-1f.tmp");
    Files.writeString(running, "on");
    Files.writeString(other, "on");
    AtomicFile.write(target, out -> out.write(bytes("one")));
    assertEquals(Set.of(target, running, other), Set.copyOf(files()));
  }

  @Test
  void refusesADirectory() {
    OutputException error =
        assertThrows(OutputException.class, () -> AtomicFile.checkWritable(folder));

    assertTrue(error.getMessage().contains("it is a directory"), error.getMessage());
  }

  @Test
  void refusesAMissingFolder() {
    OutputException error =
        assertThrows(
            OutputException.class,
            () -> AtomicFile.checkWritable(folder.resolve("no").resolve("a.txt")));

    assertTrue(error.getMessage().contains("does not exist"), error.getMessage());
  }

  @Test
  void refusesAFolderThatCannotBeWritten() throws IOException {
    Path locked = Files.createDirectory(folder.resolve("locked"));
    assertTrue(locked.toFile().setWritable(false));
    // The administrator may write everywhere but there.
    Path unwritable = Files.isWritable(locked) ? Path.of("/proc") : locked;
    OutputException error =
        assertThrows(
            OutputException.class, () -> AtomicFile.checkWritable(unwritable.resolve("a.txt")));

    assertTrue(error.getMessage().contains("no file can be created"), error.getMessage());
  }

  @Test
  void checkingLeavesNothing() throws IOException {
    Path target = folder.resolve("a.txt");
    AtomicFile.checkWritable(target);

    assertFalse(Files.exists(target));
    assertEquals(List.of(), files());
  }

  @Test
  void writesThroughALink() throws IOException {
    Path real = Files.writeString(folder.resolve("real.txt"), "old");
    Path link = Files.createSymbolicLink(folder.resolve("link.txt"), real);
    AtomicFile.write(link, out -> out.write(bytes("new")));

    assertTrue(Files.isSymbolicLink(link));
    assertEquals("new", Files.readString(real));
  }
}
