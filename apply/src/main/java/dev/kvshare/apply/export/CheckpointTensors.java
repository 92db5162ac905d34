package dev.kvshare.apply.export;

import dev.kvshare.apply.export.LckvExport.KeyValueWeights;
import dev.kvshare.apply.family.ModelFamilies;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.DataType;
import dev.kvshare.apply.model.safetensors.SafetensorsFile;
import dev.kvshare.apply.model.safetensors.SafetensorsWriter;
import dev.kvshare.apply.model.storage.StoredTensor;
import dev.kvshare.apply.plan.SharingMap;
import dev.kvshare.apply.policy.PolicyException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/**
 * The tensors of a checkpoint under a policy: the original ones, without the keys and values of
 * layers that read another one, with those of the policy's repair in their place. Tensors stay in
 * the type in which they are stored; quantised ones become float32. Tensors that are not stored in
 * that form are read in pieces when they are written.
 */
final class CheckpointTensors implements AutoCloseable {
  private static final Pattern LAYER_TENSOR =
      Pattern.compile("model\\.layers\\.(\\d+)\\.(self_attn|mlp)\\.(\\w+)_proj\\.(weight|bias)");
  private static final Pattern COMPUTED = Pattern.compile(".*rotary_emb\\.inv_freq");
  private static final long PIECE_BYTES = 64L << 20;
  private static final String HEAD = "lm_head.weight";
  private static final List<String> ATTENTION = List.of("q", "k", "v", "o");
  private static final List<String> FEED_FORWARD = List.of("gate", "up", "down");

  private final Checkpoint checkpoint;
  private final SharingMap map;
  private final KeyValueWeights weights;
  private final SafetensorsFile repair;
  private final Set<String> repaired;

  /**
   * @param repairFile the refitted weights, or null for none
   * @throws PolicyException.Unsupported if a refitted weight has no place in that code
   */
  CheckpointTensors(
      Checkpoint checkpoint, SharingMap map, KeyValueWeights weights, Path repairFile) {
    this.checkpoint = checkpoint;
    this.map = map;
    this.weights = weights;
    this.repair = repairFile == null ? null : SafetensorsFile.open(repairFile);
    this.repaired = repair == null ? Set.of() : new TreeSet<>(repair.tensors().keySet());
    try {
      repaired.forEach(this::requirePlace);
    } catch (PolicyException.Unsupported e) {
      close();
      throw e;
    }
  }

  /** Whether the head is the embedding; one that is stored and differs counts. */
  boolean tiedHead() {
    return ModelFamilies.spec(checkpoint).tiedHead();
  }

  void addTo(SafetensorsWriter writer, boolean tied) {
    for (TensorInfo info : checkpoint.tensors().values()) {
      boolean unused =
          COMPUTED.matcher(info.name()).matches() || (tied && info.name().equals(HEAD));
      if (!unused && isKept(info.name()) && !repaired.contains(info.name())) {
        add(writer, info);
      }
    }
    for (String name : repaired) {
      TensorInfo info = repair.tensors().get(name).info();
      writer.add(name, info.dataType(), info.shape(), repair.bytes(name, info.dataType()));
    }
    if (addsBias("self_attn")) {
      addZeroBiases(writer, "self_attn", ATTENTION);
    }
    if (addsBias("mlp")) {
      addZeroBiases(writer, "mlp", FEED_FORWARD);
    }
  }

  @Override
  public void close() {
    if (repair != null) {
      repair.close();
    }
  }

  /** Whether {@code self_attn} or {@code mlp} has biases that the original lacks. */
  boolean addsBias(String part) {
    return repaired.stream()
        .map(LAYER_TENSOR::matcher)
        .filter(Matcher::matches)
        .anyMatch(
            name ->
                name.group(2).equals(part)
                    && name.group(4).equals("bias")
                    && !checkpoint.tensors().containsKey(name.group()));
  }

  /** Keys and values of layers without a cache are left out: that code has no place for them. */
  private boolean isKept(String name) {
    Matcher matcher = LAYER_TENSOR.matcher(name);
    return !matcher.matches()
        || !isKeyOrValue(matcher)
        || map.ownsCache(Integer.parseInt(matcher.group(1)));
  }

  private static boolean isKeyOrValue(Matcher name) {
    return name.group(3).equals("k") || name.group(3).equals("v");
  }

  private void requirePlace(String name) {
    Matcher matcher = LAYER_TENSOR.matcher(name);
    boolean bias = matcher.matches() && matcher.group(4).equals("bias");
    TensorInfo original = checkpoint.tensors().get(name);
    List<Long> shape = repair.tensors().get(name).info().shape();
    if ((original == null && !bias)
        || (original != null && !original.shape().equals(shape))
        || !isKept(name)) {
      throw new PolicyException.Unsupported(
          "The refitted weight %s%s of the policy has no place in a checkpoint of that program. Calibrate with --repair-parts attention,queries, which fits none of these, or export without the refitted weights by --no-repair, at the quality of plain sharing."
              .formatted(name, shape));
    }
  }

  private void add(SafetensorsWriter writer, TensorInfo info) {
    Matcher matcher = LAYER_TENSOR.matcher(info.name());
    boolean averaged =
        weights == KeyValueWeights.AVERAGED && matcher.matches() && isKeyOrValue(matcher);
    DataType type = info.dataType().isTarget() ? info.dataType() : DataType.F32;
    if (averaged) {
      writer.add(info.name(), type, info.shape(), StoredTensor.encode(mean(matcher), type));
      return;
    }
    ByteBuffer mapped = checkpoint.mapped(info.name(), type);
    if (mapped != null) {
      writer.add(info.name(), type, info.shape(), mapped);
    } else {
      writer.add(info.name(), type, info.shape(), () -> pieces(info, type));
    }
  }

  /** Mean of a key or value tensor over the layers that read the layer that {@code name} names. */
  private float[] mean(Matcher name) {
    int owner = Integer.parseInt(name.group(1));
    int[] readers =
        IntStream.range(0, map.layers()).filter(layer -> map.source(layer) == owner).toArray();
    float[] mean = new float[Math.toIntExact(checkpoint.info(name.group()).elements())];
    for (int reader : readers) {
      String tensor =
          "model.layers.%d.self_attn.%s_proj.%s".formatted(reader, name.group(3), name.group(4));
      FloatBuffer values =
          read(tensor, DataType.F32).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
      for (int i = 0; i < mean.length; i++) {
        mean[i] += values.get(i);
      }
    }
    for (int i = 0; i < mean.length; i++) {
      mean[i] /= readers.length;
    }
    return mean;
  }

  /** The bytes of a tensor, some rows at a time in the same buffer. */
  private Iterator<ByteBuffer> pieces(TensorInfo info, DataType type) {
    long rowBytes = info.elements() / Math.max(1, info.rows()) * type.blockBytes();
    long rowsAtOnce = Math.max(1, PIECE_BYTES / Math.max(1, rowBytes));
    ByteBuffer buffer =
        ByteBuffer.allocateDirect(Math.toIntExact(Math.min(rowsAtOnce, info.rows()) * rowBytes));
    return LongStream.iterate(0, row -> row < info.rows(), row -> row + rowsAtOnce)
        .mapToObj(
            row -> {
              long rows = Math.min(rowsAtOnce, info.rows() - row);
              checkpoint.readRows(info.name(), type, row, rows, buffer.clear());
              return buffer.flip();
            })
        .iterator();
  }

  private ByteBuffer read(String tensor, DataType type) {
    long bytes = checkpoint.info(tensor).elements() * type.blockBytes();
    ByteBuffer buffer = ByteBuffer.allocateDirect(Math.toIntExact(bytes));
    checkpoint.read(tensor, type, buffer);
    return buffer.flip();
  }

  private void addZeroBiases(SafetensorsWriter writer, String part, List<String> projections) {
    for (int layer = 0; layer < map.layers(); layer++) {
      for (String projection : projections) {
        String stem = "model.layers.%d.%s.%s_proj.".formatted(layer, part, projection);
        if (isKept(stem + "bias") && !repaired.contains(stem + "bias")) {
          long rows = checkpoint.info(stem + "weight").shape().get(0);
          ByteBuffer zeros = ByteBuffer.allocate(Math.toIntExact(rows * Float.BYTES));
          writer.add(stem + "bias", DataType.F32, List.of(rows), zeros);
        }
      }
    }
  }
}
