/**
 * What a calibration is going to cost: start at {@link dev.kvshare.calibrate.forecast.CostModel}.
 */
package dev.kvshare.calibrate.forecast;
