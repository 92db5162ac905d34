/**
 * Repair: refits projections of a model under a plan, without training, so that its residual stream
 * follows that of the unshared model again.
 *
 * <p>Start at {@link dev.kvshare.calibrate.repair.Repair}: it repairs one plan; {@link
 * dev.kvshare.calibrate.repair.RepairTrials} measure many over the same passages. Both run the
 * layers from the bottom ({@code LayerwiseRepair}) beside the stream of the unshared model ({@code
 * ReferenceStream}); the room {@code fit} has the solvers.
 */
package dev.kvshare.calibrate.repair;
