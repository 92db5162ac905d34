package dev.kvshare.apply.model.gguf;

import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.gguf.GgufContents.GgufTensor;
import dev.kvshare.apply.model.storage.ModelFile;
import dev.kvshare.apply.model.storage.Problems;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Checks the tensors that a GGUF header describes and finds their place in the file. */
record TensorTable(ModelFile file, Problems problems) {
  private static final String ALIGNMENT = "general.alignment";
  private static final long DEFAULT_ALIGNMENT = 32;

  /** Names of ggml's types in the order of their numbers. */
  private static final List<String> TYPES =
      List.of(
          """
          F32 F16 Q4_0 Q4_1 Q4_2 Q4_3 Q5_0 Q5_1 Q8_0 Q8_1 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ2_XXS
          IQ2_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ2_S IQ4_XS I8 I16 I32 I64 F64 IQ1_M BF16 Q4_0_4_4
          Q4_0_4_8 Q4_0_8_8 TQ1_0 TQ2_0 IQ4_NL_4_4 IQ4_NL_4_8 IQ4_NL_8_8 MXFP4 NVFP4 Q1_0
          """
              .strip()
              .split("\\s+", -1));

  /** The tensors by their name in the file, in its order, without those that have a problem. */
  Map<String, GgufTensor> read(HeaderReader.Header header) {
    long alignment = alignment(header.metadata());
    long dataStart = (header.end() + alignment - 1) / alignment * alignment;
    Map<String, GgufTensor> tensors = new LinkedHashMap<>();
    for (HeaderReader.RawTensor raw : header.tensors()) {
      String what = "tensor '" + raw.name() + "'";
      dataType(what, raw)
          .flatMap(type -> locate(what, raw, type, dataStart, alignment))
          .ifPresent(
              tensor -> {
                if (tensors.putIfAbsent(raw.name(), tensor) != null) {
                  problems.corrupt(what + " is there twice");
                }
              });
    }
    checkOverlap(tensors);
    return tensors;
  }

  private long alignment(Metadata metadata) {
    Long alignment = metadata.natural(ALIGNMENT);
    if (alignment == null) {
      return DEFAULT_ALIGNMENT;
    }
    if (Long.bitCount(alignment) != 1 || alignment > 1 << 20) {
      problems.corrupt(
          "key '" + ALIGNMENT + "' is " + alignment + ", but must be a power of two up to 2^20");
      return DEFAULT_ALIGNMENT;
    }
    return alignment;
  }

  private Optional<DataType> dataType(String what, HeaderReader.RawTensor raw) {
    String name = raw.type() < TYPES.size() ? TYPES.get((int) raw.type()) : "number " + raw.type();
    Optional<DataType> type = DataType.named(name);
    if (type.isEmpty()) {
      problems.unsupported(
          "%s is of type %s, but only F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K are decoded"
              .formatted(what, name));
    }
    return type;
  }

  private Optional<GgufTensor> locate(
      String what, HeaderReader.RawTensor raw, DataType type, long dataStart, long alignment) {
    String shape = type + " " + raw.sizes();
    if (raw.sizes().stream().anyMatch(size -> size < 0)) {
      problems.corrupt(what + " has the sizes " + raw.sizes() + ", but 0 to 2^63-1 is possible");
      return Optional.empty();
    }
    if (!raw.sizes().isEmpty() && raw.sizes().get(0) % type.blockSize() != 0) {
      problems.corrupt(
          what + ": a row of " + shape + " does not fill blocks of " + type.blockSize());
      return Optional.empty();
    }
    long bytes;
    try {
      bytes = type.bytes(raw.sizes().stream().reduce(1L, Math::multiplyExact));
    } catch (ArithmeticException e) {
      problems.corrupt(what + ": the size of " + shape + " overflows 64 bits");
      return Optional.empty();
    }
    long offset = raw.offset();
    if (offset < 0 || offset % alignment != 0) {
      problems.corrupt(
          "%s lies at offset %s, which is no multiple of the alignment %s"
              .formatted(what, Long.toUnsignedString(offset), alignment));
      return Optional.empty();
    }
    long available = file.size() - dataStart;
    if (bytes > available || offset > available - bytes) {
      problems.corrupt(
          "%s (%s, %s bytes) lies at offset %s of the data, which has only %s bytes"
              .formatted(what, shape, bytes, offset, Math.max(0, available)));
      return Optional.empty();
    }
    return Optional.of(new GgufTensor(raw.name(), type, raw.sizes(), bytes, dataStart + offset));
  }

  private void checkOverlap(Map<String, GgufTensor> tensors) {
    List<GgufTensor> sorted = new ArrayList<>(tensors.values());
    sorted.sort(Comparator.comparingLong(GgufTensor::offset).thenComparing(GgufTensor::end));
    GgufTensor previous = null;
    for (GgufTensor tensor : sorted) {
      if (previous != null && tensor.offset() < previous.end() && tensor.bytes() > 0) {
        problems.corrupt("tensors " + previous.range() + " and " + tensor.range() + " overlap");
      }
      if (previous == null || tensor.end() > previous.end()) {
        previous = tensor;
      }
    }
  }
}
