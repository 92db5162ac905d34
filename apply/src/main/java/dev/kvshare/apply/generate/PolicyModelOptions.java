package dev.kvshare.apply.generate;

import dev.kvshare.apply.decoder.DecoderOptions;
import java.nio.file.Path;
import java.util.Objects;

/**
 * How to load a model.
 *
 * @param model a Hugging Face directory or a GGUF file
 * @param policy a policy file, or null for the unshared model
 * @param decoder device, number type and threads
 * @param force whether to apply a policy that was made for another model of the same shape
 * @param repair whether the refitted weights of a policy are used
 */
public record PolicyModelOptions(
    Path model, Path policy, DecoderOptions decoder, boolean force, boolean repair) {
  public PolicyModelOptions {
    Objects.requireNonNull(model, "model");
    Objects.requireNonNull(decoder, "decoder");
  }
}
