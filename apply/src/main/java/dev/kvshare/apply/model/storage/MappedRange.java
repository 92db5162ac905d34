package dev.kvshare.apply.model.storage;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;

/**
 * A mapped range of a file that leaves the process when it is closed. Java alone unmaps a buffer
 * when the garbage collector finds it, and until then its pages count as memory of the process.
 *
 * <p>Unmapping goes through {@code sun.misc.Unsafe.invokeCleaner}, as in the {@code MMapDirectory}
 * of Apache Lucene 9; on a Java without it the garbage collector is left to do it.
 */
final class MappedRange implements AutoCloseable {
  private static final MethodHandle CLEANER = cleaner();

  private final ByteBuffer bytes;

  /**
   * @param bytes as {@link ModelFile#map} returned it; not used once this is closed
   */
  MappedRange(ByteBuffer bytes) {
    this.bytes = bytes;
  }

  /** Little-endian, read-only. */
  ByteBuffer bytes() {
    return bytes;
  }

  @Override
  public void close() {
    if (CLEANER != null) {
      try {
        CLEANER.invokeExact(bytes);
      } catch (Throwable e) {
        throw new IllegalStateException("a mapped range cannot be unmapped", e);
      }
    }
  }

  private static MethodHandle cleaner() {
    try {
      Class<?> unsafe = Class.forName("sun.misc.Unsafe");
      Field instance = unsafe.getDeclaredField("theUnsafe");
      instance.setAccessible(true);
      MethodType type = MethodType.methodType(void.class, ByteBuffer.class);
      return MethodHandles.lookup()
          .findVirtual(unsafe, "invokeCleaner", type)
          .bindTo(instance.get(null));
    } catch (ReflectiveOperationException | RuntimeException unavailable) {
      return null;
    }
  }
}
