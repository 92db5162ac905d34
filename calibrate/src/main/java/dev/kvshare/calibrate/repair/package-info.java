/**
 * Repair: refits projections of a model that shares keys and values, without training, so that its
 * residual stream follows that of the unshared model again.
 *
 * <p>{@link dev.kvshare.calibrate.repair.Repair} repairs one map, {@link
 * dev.kvshare.calibrate.repair.RepairBench} judges many over the same text. Both walk the layers
 * from the bottom ({@link dev.kvshare.calibrate.repair.RepairWalk}) beside the stream of the
 * unshared model ({@link dev.kvshare.calibrate.repair.ReferenceStream}).
 */
package dev.kvshare.calibrate.repair;
