/**
 * What a search needs to know of the unshared model, and the runs of samples under candidate maps:
 * start at {@link dev.kvshare.calibrate.capture.KvStatistics}.
 */
package dev.kvshare.calibrate.capture;
