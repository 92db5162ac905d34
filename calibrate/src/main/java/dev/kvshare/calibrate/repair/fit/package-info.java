/**
 * The solvers of a repair: ridge regression of a projection ({@link
 * dev.kvshare.calibrate.repair.fit.RidgeFit}) and Gauss-Newton steps for the queries of a layer
 * ({@link dev.kvshare.calibrate.repair.fit.QueryFit}). What they compute in the engine stands in
 * the TorchScript sources {@code ridge.py} and {@code queries.py}; {@link
 * dev.kvshare.calibrate.repair.fit.Fits} loads them and is where to start reading.
 */
package dev.kvshare.calibrate.repair.fit;
