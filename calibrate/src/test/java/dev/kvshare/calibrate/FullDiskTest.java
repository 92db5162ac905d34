package dev.kvshare.calibrate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.common.jimfs.Configuration;
import com.google.common.jimfs.Jimfs;
import dev.kvshare.apply.model.storage.AtomicFile.OutputException;
import dev.kvshare.calibrate.capture.CalibrationException;
import java.io.IOException;
import java.nio.file.FileSystem;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** A disk that is full at each of the files that a calibration writes. */
class FullDiskTest {
  private static final int BLOCK = 256;

  private static TinyModel model;

  @BeforeAll
  static void load() {
    model = TinyModel.open();
  }

  @AfterAll
  static void close() {
    model.close();
  }

  @Test
  void whatIsThereIsWhole() throws IOException {
    CalibrationResult result = repaired();
    Map<String, byte[]> whole;
    try (FileSystem disk = disk(1 << 24)) {
      write(result, disk.getPath("/"));
      whole = files(disk);
    }
    assertEquals(
        Set.of("policy.json", "policy.safetensors", "stats.safetensors", "report.html"),
        whole.keySet());
    long bytes = whole.values().stream().mapToLong(file -> file.length).sum();
    Set<Set<String>> left = new TreeSet<>((a, b) -> a.toString().compareTo(b.toString()));
    boolean done = false;
    for (long size = BLOCK; !done; size += Math.max(BLOCK, bytes / 200 / BLOCK * BLOCK)) {
      assertTrue(size < 3 * bytes, "never enough");
      try (FileSystem disk = disk(size)) {
        Path folder = disk.getPath("/");
        String message = "";
        try {
          write(result, folder);
          done = true;
        } catch (OutputException e) {
          message = e.getMessage();
        }
        Map<String, byte[]> there = files(disk);
        left.add(there.keySet());
        there.forEach((name, content) -> assertArrayEquals(whole.get(name), content, name));
        assertEquals(done, there.keySet().equals(whole.keySet()), message);
        assertEquals(
            there.containsKey("policy.json"),
            done || message.contains("is written and can be used"),
            message);
        assertTrue(done || message.contains("out of disk space"), message);
      }
    }
    // Full at the weights or the policy, at the statistics, at the report, and never.
    assertEquals(4, left.size(), left.toString());
  }

  /** The policy and the weights that were there stay a pair that can be used. */
  @Test
  void anOldPairStays() throws IOException {
    CalibrationResult result = repaired();
    long bytes;
    try (FileSystem disk = disk(1 << 24)) {
      result.write(disk.getPath("/policy.json"), null, null);
      bytes = files(disk).values().stream().mapToLong(file -> file.length).sum();
    }
    for (long size = bytes + 2 * BLOCK; size < 2 * bytes; size += BLOCK) {
      try (FileSystem disk = disk(size)) {
        Path policy = disk.getPath("/policy.json");
        result.write(policy, null, null);
        Map<String, byte[]> before = files(disk);
        try {
          result.write(policy, null, null);
        } catch (OutputException e) {
          assertTrue(e.getMessage().contains("is as it was"), e.getMessage());
        }
        Map<String, byte[]> after = files(disk);
        assertEquals(before.keySet(), after.keySet());
        before.forEach((name, content) -> assertArrayEquals(content, after.get(name), name));
      }
    }
  }

  /** A search whose journal has no more room says so, and goes on from it with more room. */
  @Test
  void aJournalEndsTheSearch() throws IOException {
    try (FileSystem small = disk(5 * BLOCK);
        FileSystem large = disk(1 << 20)) {
      Path journal = small.getPath("/policy.journal");
      String message =
          assertThrows(CalibrationException.class, () -> search().journal(journal).run())
              .getMessage();
      assertTrue(message.contains("/policy.journal"), message);
      assertTrue(message.contains("out of disk space"), message);
      Path copy = large.getPath("/policy.journal");
      Files.write(copy, Files.readAllBytes(journal));
      CalibrationResult resumed = search().journal(copy).resume(true).run();
      assertEquals(search().run().policy().plan(), resumed.policy().plan());
      String before = Files.readString(journal);
      before = before.substring(0, before.lastIndexOf('\n') + 1);
      assertTrue(before.lines().count() > 2, before);
      assertTrue(Files.readString(copy).startsWith(before));
    }
  }

  private static Calibration search() {
    return model.calibration().keep(new Keep.SharedLayers(3)).threshold(0.72);
  }

  private static CalibrationResult repaired() {
    CalibrationResult result = model.calibration().method("share").keep("6layers").run();
    assertFalse(result.weights().names().isEmpty());
    return result;
  }

  private static void write(CalibrationResult result, Path folder) {
    result.write(
        folder.resolve("policy.json"),
        folder.resolve("report.html"),
        folder.resolve("stats.safetensors"));
  }

  private static FileSystem disk(long bytes) {
    return Jimfs.newFileSystem(
        Configuration.unix().toBuilder().setBlockSize(BLOCK).setMaxSize(bytes).build());
  }

  private static Map<String, byte[]> files(FileSystem disk) throws IOException {
    Map<String, byte[]> found = new TreeMap<>();
    try (Stream<Path> entries = Files.list(disk.getPath("/"))) {
      for (Path entry : List.copyOf(entries.filter(Files::isRegularFile).toList())) {
        found.put(entry.getFileName().toString(), Files.readAllBytes(entry));
      }
    }
    return found;
  }
}
