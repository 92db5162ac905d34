package dev.kvshare.apply.model.storage;

import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.CheckpointException;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.ModelConfig;
import dev.kvshare.apply.model.TokenizerSource;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A checkpoint over mapped files, whatever their format. */
public record MappedCheckpoint(
    Path location,
    ModelConfig config,
    TokenizerSource tokenizerSource,
    Map<String, TensorInfo> tensors,
    Map<String, StoredTensor> stored)
    implements Checkpoint {

  /** Takes over the files of the tensors, which {@link #close} closes. */
  public MappedCheckpoint(
      Path location,
      ModelConfig config,
      TokenizerSource tokenizerSource,
      Collection<StoredTensor> stored) {
    this(
        location,
        config,
        tokenizerSource,
        Collections.unmodifiableMap(
            new TreeMap<>(byName(stored.stream().map(StoredTensor::info), TensorInfo::name))),
        byName(stored.stream(), tensor -> tensor.info().name()));
  }

  private static <T> Map<String, T> byName(Stream<T> values, Function<T, String> name) {
    return values.collect(Collectors.toMap(name, value -> value));
  }

  @Override
  public void readRows(String name, DataType target, long firstRow, long rows, ByteBuffer dst) {
    StoredTensor tensor = tensor(name);
    if (!target.isTarget()) {
      throw new IllegalArgumentException("decoding to " + target + " instead of F32, F16 or BF16");
    }
    if (tensor.decoder() == null) {
      throw new CheckpointException.Unsupported(
          "%s: tensor '%s' is stored as %s, but %s are understood as weights. Convert the model to BF16."
              .formatted(
                  tensor.file().path(),
                  name,
                  tensor.info().dataType(),
                  Arrays.stream(DataType.values())
                      .filter(DataType::isDecodable)
                      .map(DataType::toString)
                      .collect(Collectors.joining(", "))));
    }
    new RowReader(tensor, target).read(firstRow, rows, dst);
  }

  @Override
  public ByteBuffer mapped(String name, DataType target) {
    StoredTensor tensor = tensor(name);
    TensorInfo info = tensor.info();
    boolean fits = info.bytes() <= Integer.MAX_VALUE;
    return info.dataType() == target && tensor.isVerbatim() && fits
        ? tensor.file().map(tensor.offset(), info.bytes())
        : null;
  }

  @Override
  public void readStored(String name, long offset, ByteBuffer dst) {
    StoredTensor tensor = tensor(name);
    if (offset < 0 || dst.remaining() > tensor.info().bytes() - offset) {
      throw new IllegalArgumentException(
          name + ": bytes " + offset + " + " + dst.remaining() + " of " + tensor.info().bytes());
    }
    tensor.file().read(tensor.offset() + offset, dst);
  }

  @Override
  public void close() {
    stored.values().stream().map(StoredTensor::file).distinct().forEach(ModelFile::close);
  }

  private StoredTensor tensor(String name) {
    return stored.get(info(name).name());
  }
}
