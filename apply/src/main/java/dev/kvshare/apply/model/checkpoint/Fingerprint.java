package dev.kvshare.apply.model.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.model.Checkpoint;
import dev.kvshare.apply.model.Checkpoint.TensorInfo;
import dev.kvshare.apply.model.storage.Digest;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * Identifies a model by its content, so that a policy is not applied to another one. It does not
 * depend on where the files lie, how tensors are spread over shards, nor on the generation of
 * {@code config.json}. It is SHA-256 over UTF-8 lines, each ended by a line feed:
 *
 * <pre>
 * kvshare.fingerprint/1
 * config KEY=JSON              for each key that can change the computation, sorted
 * tensor NAME TYPE [SHAPE]     for each tensor, sorted; then {@value #SAMPLES} runs of stored bytes
 * </pre>
 *
 * A run has up to {@value #SAMPLE_BYTES} bytes; runs are spread evenly from the first to the last
 * byte of a tensor. So the cost is a few pages a tensor and not the size of the model.
 */
public final class Fingerprint {
  private static final int SAMPLES = 4;
  private static final int SAMPLE_BYTES = 256;

  /** Keys that describe the file, the training or the tokenizer, not the computation. */
  private static final Set<String> DESCRIPTIVE_KEYS =
      Set.of(
          """
          _name_or_path architectures attention_dropout attn_implementation auto_map bos_token_id
          kvshare_policy dtype embd_pdrop attn_pdrop resid_pdrop eos_token_id hidden_dropout initializer_range
          pad_token_id pretraining_tp torch_dtype transformers_version unsloth_fixed use_cache
          """
              .strip()
              .split("\\s+", -1));

  private static final Set<String> ROPE_KEYS =
      Set.of("rope_theta", "rope_scaling", "rope_parameters");

  private Fingerprint() {}

  /** The fingerprint, {@code sha256:} and 64 hexadecimal digits. */
  public static String of(Checkpoint checkpoint) {
    MessageDigest digest = Digest.start("SHA-256");
    line(digest, "kvshare.fingerprint/1");
    computation(checkpoint.config().json())
        .forEach((key, value) -> line(digest, "config " + key + "=" + value));
    for (TensorInfo tensor : new TreeMap<>(checkpoint.tensors()).values()) {
      line(digest, "tensor " + tensor.name() + " " + tensor.dataType() + " " + tensor.shape());
      sample(checkpoint, tensor, digest);
    }
    return "sha256:" + Digest.end(digest);
  }

  private static void sample(Checkpoint checkpoint, TensorInfo tensor, MessageDigest digest) {
    int length = (int) Math.min(SAMPLE_BYTES, tensor.bytes());
    ByteBuffer run = ByteBuffer.allocate(length);
    for (int i = 0; i < SAMPLES; i++) {
      long offset = (tensor.bytes() - length) * i / (SAMPLES - 1);
      checkpoint.readStored(tensor.name(), offset, run.clear());
      digest.update(run.flip());
    }
  }

  /** Keys and values in a form that both generations of {@code config.json} share. */
  private static Map<String, String> computation(ObjectNode config) {
    Map<String, String> values = new TreeMap<>();
    for (String key : names(config)) {
      if (!DESCRIPTIVE_KEYS.contains(key) && !ROPE_KEYS.contains(key)) {
        put(values, key, config.get(key));
      }
    }
    put(values, "rope.rope_theta", config.get("rope_theta"));
    for (String key : ROPE_KEYS) {
      JsonNode rope = config.path(key);
      for (String name : names(rope)) {
        put(values, "rope." + (name.equals("type") ? "rope_type" : name), rope.get(name));
      }
    }
    values.remove("rope.rope_type", "\"default\"");
    return values;
  }

  private static void put(Map<String, String> values, String key, JsonNode value) {
    if (value != null && !value.isNull()) {
      values.put(key, canonical(value));
    }
  }

  /** JSON with sorted keys and without nulls, numbers as hexadecimal doubles. */
  private static String canonical(JsonNode value) {
    if (value.isNumber()) {
      return Double.toHexString(value.doubleValue());
    }
    if (value.isArray()) {
      return value
          .valueStream()
          .map(element -> canonical(element) + ",")
          .collect(Collectors.joining("", "[", "]"));
    }
    if (!value.isObject()) {
      return value.toString();
    }
    return names(value).stream()
        .filter(value::hasNonNull)
        .map(name -> name + ":" + canonical(value.get(name)) + ",")
        .collect(Collectors.joining("", "{", "}"));
  }

  private static Set<String> names(JsonNode object) {
    Set<String> names = new TreeSet<>();
    object.fieldNames().forEachRemaining(names::add);
    return names;
  }

  private static void line(MessageDigest digest, String text) {
    digest.update((text + "\n").getBytes(StandardCharsets.UTF_8));
  }
}
