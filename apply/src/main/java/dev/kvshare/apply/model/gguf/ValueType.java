package dev.kvshare.apply.model.gguf;

import java.util.Locale;

/** Types of metadata values, in the order of their numbers in the file. */
enum ValueType {
  UINT8(1),
  INT8(1),
  UINT16(2),
  INT16(2),
  UINT32(4),
  INT32(4),
  FLOAT32(4),
  BOOL(1),
  STRING(8),
  ARRAY(12),
  UINT64(8),
  INT64(8),
  FLOAT64(8);

  private final int minimumBytes;

  ValueType(int minimumBytes) {
    this.minimumBytes = minimumBytes;
  }

  /** Bytes that a value takes at least. */
  int minimumBytes() {
    return minimumBytes;
  }

  boolean isNumber() {
    return this != BOOL && this != STRING && this != ARRAY;
  }

  boolean isInteger() {
    return isNumber() && this != FLOAT32 && this != FLOAT64;
  }

  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
