/** Finds a plan for a model: start at {@link dev.kvshare.calibrate.Calibrator}. */
package dev.kvshare.calibrate;
