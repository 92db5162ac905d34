package dev.kvshare.apply.policy;

import java.util.List;

/**
 * The refitted weights that belong to a policy. Without them the policy still works, with lower
 * quality.
 *
 * @param file name of the safetensors file, in the folder of the policy file
 * @param sha256 64 hexadecimal digits over the bytes of that file
 * @param tensors names of the tensors in it, as in the checkpoint
 */
public record RepairReference(String file, String sha256, List<String> tensors) {
  /** Copies the list. */
  public RepairReference {
    tensors = List.copyOf(tensors);
  }
}
