package dev.kvshare.apply.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kvshare.apply.model.checkpoint.Checkpoints;
import java.nio.file.Path;
import java.util.List;

/** A broken file and how it must be refused. */
public final class Defect {
  private final String name;
  private final byte[] bytes;
  private final Class<? extends CheckpointException> type;
  private final List<String> fragments;

  private Defect(
      String name,
      byte[] bytes,
      Class<? extends CheckpointException> type,
      List<String> fragments) {
    this.name = name;
    this.bytes = bytes.clone();
    this.type = type;
    this.fragments = fragments;
  }

  /** A file that breaks its format; the fragments must be in the message. */
  public static Defect corrupt(String name, byte[] bytes, String... fragments) {
    return new Defect(name, bytes, CheckpointException.Corrupt.class, List.of(fragments));
  }

  /** A sound file that asks for something not computed. */
  public static Defect unsupported(String name, byte[] bytes, String... fragments) {
    return new Defect(name, bytes, CheckpointException.Unsupported.class, List.of(fragments));
  }

  public byte[] bytes() {
    return bytes.clone();
  }

  /** Opens the model with this defect and checks the exception, which must name the file. */
  public void assertRefused(Path model, String fileName) {
    CheckpointException thrown =
        assertThrows(CheckpointException.class, () -> Checkpoints.open(model).close());
    assertEquals(type, thrown.getClass(), thrown.getMessage());
    String message = thrown.getMessage();
    assertTrue(message.contains(fileName), message);
    for (String fragment : fragments) {
      assertTrue(message.contains(fragment), () -> "'" + fragment + "' is not in: " + message);
    }
  }

  @Override
  public String toString() {
    return name;
  }
}
