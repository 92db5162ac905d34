package dev.kvshare.apply;

import java.nio.file.Path;
import java.util.Objects;

/**
 * How to load a model.
 *
 * @param model a Hugging Face directory or a GGUF file
 * @param policy a policy file, or null for the unshared model
 * @param device {@code cpu} or {@code cuda:N}
 * @param force whether to apply a policy that was made for another model of the same shape
 */
public record PolicyModelOptions(Path model, Path policy, String device, boolean force) {
  public PolicyModelOptions {
    Objects.requireNonNull(model, "model");
    Objects.requireNonNull(device, "device");
  }
}
