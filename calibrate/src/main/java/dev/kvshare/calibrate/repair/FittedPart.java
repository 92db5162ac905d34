package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.LayerParts.Part;

/**
 * What the fit of one projection did. Errors are relative: the mean over tokens of the squared
 * difference from the unshared model's residual stream over that stream's squared length.
 *
 * @param layer the layer
 * @param part the part that the projection ends
 * @param strength the regularisation chosen; 0 where the original weight stays
 * @param errorBefore error on the validation windows with the original weight
 * @param errorAfter error on the validation windows with the weight that is used
 */
public record FittedPart(
    int layer, Part part, double strength, double errorBefore, double errorAfter) {

  /** Whether the weight was replaced. */
  public boolean replaced() {
    return strength > 0;
  }
}
