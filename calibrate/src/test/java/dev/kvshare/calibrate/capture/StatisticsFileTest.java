package dev.kvshare.calibrate.capture;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.policy.ModelIdentity;
import dev.kvshare.apply.policy.Provenance.DatasetReference;
import dev.kvshare.calibrate.KvSharerGolden;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StatisticsFileTest {
  @TempDir private Path folder;

  @Test
  void readsWhatItWrote() throws IOException {
    Path file = folder.resolve("stats.safetensors");
    KvStatistics written = statistics();
    StatisticsFile.write(written, file);
    KvStatistics read = StatisticsFile.read(file);
    assertEquals(written.model(), read.model());
    assertEquals(written.key(), read.key());
    assertEquals(written.dataset(), read.dataset());
    for (int sample = 0; sample < 2; sample++) {
      assertArrayEquals(written.samples().get(sample), read.samples().get(sample));
      assertArrayEquals(written.lastHidden().get(sample), read.lastHidden().get(sample));
    }
    assertEquals(written.distances().pairs(), read.distances().pairs());
    assertEquals(7, read.distances().key(2, 1));
    assertEquals(8.5, read.distances().value(2, 1));
    byte[] bytes = Files.readAllBytes(file);
    StatisticsFile.write(read, file);
    assertArrayEquals(bytes, Files.readAllBytes(file));
  }

  @Test
  void refusesOtherFormatsAndVersions() throws IOException {
    Path file = folder.resolve("stats.safetensors");
    StatisticsFile.write(statistics(), file);
    replace(file, "kvshare.statistics/2", "kvshare.statistics/1");
    assertMessage(file, "is of the format kvshare.statistics/1, but this release reads");
    replace(file, "kvshare.statistics/1", "something.completely");
    assertMessage(file, "holds no statistics of a calibration");
    assertMessage(
        KvSharerGolden.path("tiny_llama").resolve("model.safetensors"),
        "holds no statistics of a calibration");
    Files.write(file, Arrays.copyOf(Files.readAllBytes(file), 300));
    assertMessage(file, "The statistics cannot be read");
    assertMessage(folder.resolve("none"), "The statistics cannot be read");
  }

  @Test
  void refusesNumbersThatDoNotFitTogether() throws IOException {
    Path file = folder.resolve("stats.safetensors");
    StatisticsFile.write(statistics(), file);
    replace(file, "\\\"num_hidden_layers\\\":3", "\\\"num_hidden_layers\\\":4");
    assertMessage(file, "'distances.keys' is not of 4 x 4 layers");
    StatisticsFile.write(statistics(), file);
    byte[] bytes = Files.readAllBytes(file);
    int lengths = indexOf(bytes, new byte[] {3, 0, 0, 0, 2, 0, 0, 0});
    bytes[lengths] = 4;
    Files.write(file, bytes);
    assertMessage(file, "the lengths of the samples do not add up to the token ids");
  }

  /** The size of more than 2 GiB of states is a long, and they are written a piece at a time. */
  @Test
  void statesMayHaveMoreThanTwoGibibytes() throws IOException {
    ByteBuffer piece = ByteBuffer.allocate(1 << 20);
    long pieces = 2100;
    SafetensorsWriter writer = new SafetensorsWriter(Map.of());
    writer.add(
        "last_hidden",
        DataType.F32,
        List.of(pieces, (1L << 20) / Float.BYTES),
        () -> Stream.generate(() -> piece).limit(pieces).iterator());
    long[] written = {0};
    writer.writeTo(
        new OutputStream() {
          @Override
          public void write(int number) {
            written[0]++;
          }

          @Override
          public void write(byte[] bytes, int from, int length) {
            written[0] += length;
          }
        });
    assertTrue(written[0] > pieces << 20 && written[0] < (pieces << 20) + 1000, "" + written[0]);
  }

  private static KvStatistics statistics() {
    return new KvStatistics(
        new ModelIdentity("llama", 3, 4, 2, null, "sha256:" + "a".repeat(64)),
        "sha256:aa FLOAT32 FULL cpu",
        new DatasetReference("Bücher \"1\".txt", "b".repeat(64)),
        List.of(new int[] {11, 12, 13}, new int[] {14, 15}),
        new DistanceMatrix(
            new double[][] {{}, {1}, {Double.NaN, 7}}, new double[][] {{}, {2}, {Double.NaN, 8.5}}),
        List.of(new float[] {1, 2, 3, 4, 5, 6}, new float[] {7, 8, 9, 10}));
  }

  private static void assertMessage(Path file, String part) {
    String message =
        assertThrows(CalibrationException.class, () -> StatisticsFile.read(file)).getMessage();
    assertTrue(message.contains(part), message);
  }

  private static void replace(Path file, String from, String to) throws IOException {
    String text = new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1);
    assertTrue(text.contains(from), text);
    Files.write(file, text.replace(from, to).getBytes(StandardCharsets.ISO_8859_1));
  }

  private static int indexOf(byte[] bytes, byte[] part) {
    for (int i = 0; i + part.length <= bytes.length; i++) {
      if (Arrays.equals(Arrays.copyOfRange(bytes, i, i + part.length), part)) {
        return i;
      }
    }
    throw new AssertionError("not found");
  }
}
