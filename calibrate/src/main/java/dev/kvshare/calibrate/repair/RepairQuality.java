package dev.kvshare.calibrate.repair;

import dev.kvshare.apply.decoder.Divergence;

/**
 * How near a map comes to the unshared model on the validation windows.
 *
 * @param divergence next-token distributions against the unshared model's
 * @param similarity mean cosine similarity of the last hidden states after the final norm, each
 *     window's flattened (KVSharer, arXiv 2410.18517, section 3)
 */
public record RepairQuality(Divergence divergence, double similarity) {}
