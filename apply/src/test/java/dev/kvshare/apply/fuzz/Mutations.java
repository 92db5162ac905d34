package dev.kvshare.apply.fuzz;

import dev.kvshare.apply.fuzz.Parsers.Parser;
import dev.kvshare.apply.fuzz.Parsers.Refusal;
import java.io.ByteArrayOutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assertions;

/** Damages a file at random, the same way for the same seed, and has it read. */
final class Mutations {
  private static final String MARKS = "{}[]()\":,.-+0123456789eE%\\|*?u \n";

  private final Random random;
  private final byte[] sound;

  private Mutations(long seed, byte[] sound) {
    this.random = new Random(seed);
    this.sound = sound.clone();
  }

  /**
   * Reads the sound files and mutants of them, each of which must be read or refused by an error
   * that is meant for the user. With the system property {@code kvshare.mutations.seconds} this
   * goes on for that long, with seeds from {@code kvshare.mutations.seed} on, and prints the
   * counts.
   *
   * @return the part of the mutants that was refused, from 0 to 1
   */
  static double check(String name, long seed, List<byte[]> sound, int count, Parser parser) {
    for (byte[] file : sound) {
      Assertions.assertDoesNotThrow(() -> parser.reader().read(file), name);
    }
    long first = Long.getLong("kvshare.mutations.seed", seed);
    long seconds = Long.getLong("kvshare.mutations.seconds", 0);
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
    List<String> faults = new ArrayList<>();
    int refused = 0;
    int read = 0;
    int inputs = 0;
    do {
      for (int file = 0; file < sound.size(); file++) {
        Mutations mutations = new Mutations(first + inputs, sound.get(file));
        for (int i = 0; i < count / sound.size(); i++) {
          byte[] mutant = mutations.next();
          inputs++;
          try {
            Object outcome =
                Assertions.assertTimeoutPreemptively(
                    Duration.ofMinutes(2), () -> parser.read(mutant), "reading");
            if (outcome instanceof Refusal) {
              refused++;
            } else {
              read++;
            }
          } catch (Throwable e) {
            if (faults.size() < 20) {
              faults.add(e + " for " + Base64.getEncoder().encodeToString(mutant));
            }
          }
        }
      }
    } while (System.nanoTime() < end);
    if (seconds > 0) {
      System.out.printf(
          "%s: seed %d, %d inputs, %d refused, %d read, %d faults%n",
          name, first, inputs, refused, read, inputs - refused - read);
    }
    Assertions.assertEquals(List.of(), faults, name);
    Assertions.assertTrue(refused > inputs / 10, name + ": refused " + refused + " of " + inputs);
    return (double) refused / inputs;
  }

  /** The file with one to three of: bits flipped, bytes overwritten, cut off, moved, inserted. */
  private byte[] next() {
    byte[] bytes = sound.clone();
    for (int times = random.nextInt(3); times >= 0; times--) {
      bytes = bytes.length == 0 ? bytes : mutate(bytes);
    }
    return bytes;
  }

  private byte[] mutate(byte[] bytes) {
    int at = random.nextInt(bytes.length);
    int length = Math.min(random.nextInt(8) + 1, bytes.length - at);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(bytes, 0, at);
    switch (random.nextInt(7)) {
      case 0 -> {
        out.write(bytes[at] ^ 1 << random.nextInt(8));
        length = 1;
      }
      case 1 -> out.writeBytes(noise(length));
      case 2 -> length = bytes.length - at;
      case 3 -> {
        out.writeBytes(noise(length));
        length = 0;
      }
      case 4 -> {
        // A piece from elsewhere keeps texts well formed more often than noise does.
        int from = random.nextInt(bytes.length);
        out.write(bytes, from, Math.min(random.nextInt(40) + 1, bytes.length - from));
        length = random.nextBoolean() ? 0 : length;
      }
      case 5 -> {
        for (int i = 0; i < length; i++) {
          out.write(MARKS.charAt(random.nextInt(MARKS.length())));
        }
        length = random.nextBoolean() ? 0 : length;
      }
      default -> {
        // Removes the bytes.
      }
    }
    out.write(bytes, at + length, bytes.length - at - length);
    return out.toByteArray();
  }

  private byte[] noise(int length) {
    byte[] noise = new byte[length];
    random.nextBytes(noise);
    if (random.nextBoolean()) {
      // Extreme values are likelier to meet a limit.
      Arrays.fill(noise, (byte) (random.nextBoolean() ? 0xff : 0));
    }
    return noise;
  }
}
