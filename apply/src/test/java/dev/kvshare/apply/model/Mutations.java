package dev.kvshare.apply.model;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Damages a file at random, the same way for the same seed. */
public final class Mutations {
  private final Random random;
  private final byte[] sound;

  public Mutations(long seed, byte[] sound) {
    this.random = new Random(seed);
    this.sound = sound.clone();
  }

  /** Files with one to three bits flipped, bytes overwritten, cut off, removed or inserted. */
  public List<byte[]> list(int count) {
    List<byte[]> mutants = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      byte[] bytes = sound.clone();
      for (int times = random.nextInt(3); times >= 0; times--) {
        bytes = bytes.length == 0 ? bytes : mutate(bytes);
      }
      mutants.add(bytes);
    }
    return mutants;
  }

  private byte[] mutate(byte[] bytes) {
    int at = random.nextInt(bytes.length);
    int length = Math.min(random.nextInt(8) + 1, bytes.length - at);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(bytes, 0, at);
    switch (random.nextInt(5)) {
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
