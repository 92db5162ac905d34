package dev.kvshare.apply.policy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.kvshare.apply.plan.Plan;
import dev.kvshare.apply.plan.UpwardReading;
import java.util.List;
import java.util.Map;

/** Turns a {@link Policy} into the JSON tree of its file, unknown fields merged in. */
final class PolicyWriter {
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  private PolicyWriter() {}

  static ObjectNode tree(Policy policy) {
    ObjectNode root = NODES.objectNode();
    root.put("schema", PolicyFile.SCHEMA);
    root.set("model", model(policy.model()));
    ArrayNode source = root.putArray("kv_source");
    for (int layer : policy.map().toArray()) {
      source.add(layer);
    }
    Plan.Windows windows = policy.plan().windows();
    root.put("sliding_window", windows == null ? null : Integer.valueOf(windows.last()));
    if (windows != null && windows.first() > 0) {
      root.put("attention_sinks", windows.first());
    }
    ArrayNode windowed = root.putArray("windowed_layers");
    policy.plan().windowedLayers().forEach(windowed::add);
    root.set("upper", upward(policy.plan().upward()));
    root.set("repair", repair(policy.repair()));
    root.set("savings", savings(policy.savings()));
    if (policy.calibration() != null) {
      root.set("calibration", calibration(policy.calibration()));
    }
    if (policy.tool() != null) {
      ObjectNode tool = root.putObject("tool");
      tool.put("name", policy.tool().name());
      tool.put("version", policy.tool().version());
    }
    merge(root, policy.unknownFields());
    return root;
  }

  private static ObjectNode model(ModelIdentity model) {
    ObjectNode node = NODES.objectNode();
    putIfKnown(node, "model_type", model.modelType());
    node.put("num_hidden_layers", model.layers());
    putIfKnown(node, "num_attention_heads", model.queryHeads());
    putIfKnown(node, "num_key_value_heads", model.keyValueHeads());
    putIfKnown(node, "head_dim", model.headSize());
    putIfKnown(node, "fingerprint", model.fingerprint());
    return node;
  }

  private static JsonNode upward(UpwardReading upward) {
    if (upward == null) {
      return NODES.nullNode();
    }
    ObjectNode node = NODES.objectNode();
    if (upward instanceof UpwardReading.Parallel parallel) {
      node.put("forward_passes", parallel.forwardPasses());
      if (parallel.backwardPasses() > 0) {
        node.put("backward_passes", parallel.backwardPasses());
      }
      return node;
    }
    return node.put("sequential", true);
  }

  private static JsonNode repair(RepairReference repair) {
    if (repair == null) {
      return NODES.nullNode();
    }
    ObjectNode node = NODES.objectNode();
    node.put("file", repair.file());
    node.put("sha256", repair.sha256());
    repair.tensors().forEach(node.putArray("tensors")::add);
    return node;
  }

  private static ObjectNode savings(Savings savings) {
    ObjectNode node = NODES.objectNode();
    node.put("kv_layers", savings.keyValueLayers());
    putIfKnown(node, "kv_fraction", savings.keyValueFraction());
    node.put("kv_bytes_per_token", savings.keyValueBytesPerToken());
    return node;
  }

  private static ObjectNode calibration(Provenance calibration) {
    ObjectNode node = NODES.objectNode();
    putIfKnown(node, "strategy", calibration.strategy());
    putIfKnown(node, "threshold", calibration.threshold());
    putIfKnown(node, "similarity", calibration.similarity());
    putIfKnown(node, "dataset", calibration.dataset());
    putIfKnown(node, "samples", calibration.samples());
    putIfKnown(node, "tokens_per_sample", calibration.tokensPerSample());
    if (calibration.seed() != null) {
      node.put("seed", calibration.seed());
    }
    node.set("accepted", candidates(calibration.accepted()));
    node.set("rejected", candidates(calibration.rejected()));
    if (!calibration.compared().isEmpty()) {
      node.set("compared", compared(calibration.compared()));
    }
    putIfKnown(node, "repair_dataset", calibration.repairDataset());
    if (calibration.validation() != null) {
      node.set("validation", validation(calibration.validation()));
    }
    return node;
  }

  private static ArrayNode compared(List<ComparedStrategy> strategies) {
    ArrayNode array = NODES.arrayNode();
    for (ComparedStrategy found : strategies) {
      ObjectNode node = array.addObject();
      node.put("strategy", found.strategy());
      node.put("shared_layers", found.sharedLayers());
      node.put("reached", found.reached());
      putIfKnown(node, "kl_divergence", found.divergence());
      putIfKnown(node, "perplexity_ratio", found.perplexityRatio());
      putIfKnown(node, "top1_agreement", found.agreement());
      putIfKnown(node, "similarity", found.similarity());
    }
    return array;
  }

  private static ObjectNode validation(Validation validation) {
    ObjectNode node = NODES.objectNode();
    node.put("tokens", validation.tokens());
    putIfKnown(node, "similarity", validation.similarity());
    putIfKnown(node, "kl_divergence", validation.divergence());
    putIfKnown(node, "perplexity_ratio", validation.perplexityRatio());
    putIfKnown(node, "top1_agreement", validation.agreement());
    putIfKnown(node, "kl_divergence_without_repair", validation.plainDivergence());
    return node;
  }

  private static ArrayNode candidates(List<Candidate> candidates) {
    ArrayNode array = NODES.arrayNode();
    for (Candidate candidate : candidates) {
      ObjectNode node = array.addObject();
      node.put("layer", candidate.layer());
      node.put("source", candidate.source());
      putIfKnown(node, "distance", candidate.distance());
      putIfKnown(node, "similarity", candidate.similarity());
      putIfKnown(node, "samples", candidate.samples());
    }
    return array;
  }

  private static void putIfKnown(ObjectNode node, String field, DatasetReference value) {
    if (value != null) {
      ObjectNode dataset = node.putObject(field);
      dataset.put("name", value.name());
      putIfKnown(dataset, "sha256", value.sha256());
    }
  }

  private static void putIfKnown(ObjectNode node, String field, String value) {
    if (value != null) {
      node.put(field, value);
    }
  }

  private static void putIfKnown(ObjectNode node, String field, Integer value) {
    if (value != null) {
      node.put(field, value);
    }
  }

  private static void putIfKnown(ObjectNode node, String field, Double value) {
    if (value != null) {
      node.put(field, Digits.decimal(value));
    }
  }

  private static void merge(ObjectNode into, ObjectNode extra) {
    for (Map.Entry<String, JsonNode> field : extra.properties()) {
      JsonNode present = into.get(field.getKey());
      if (present instanceof ObjectNode object && field.getValue() instanceof ObjectNode inner) {
        merge(object, inner);
      } else if (present instanceof ArrayNode array
          && field.getValue() instanceof ArrayNode inner) {
        mergeEntries(array, inner);
      } else if (present == null) {
        into.set(field.getKey(), field.getValue());
      }
    }
  }

  /** Merges entry by entry; a list that has changed its length since it was read gets nothing. */
  private static void mergeEntries(ArrayNode into, ArrayNode extra) {
    for (int i = 0; i < into.size() && into.size() == extra.size(); i++) {
      if (into.get(i) instanceof ObjectNode object && extra.get(i) instanceof ObjectNode inner) {
        merge(object, inner);
      }
    }
  }
}
