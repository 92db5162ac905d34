/**
 * Finds which layers of a model can read another layer's keys and values.
 *
 * <p>The data flows one way: token windows ({@code dev.kvshare.datasets}) become averaged keys and
 * values a layer ({@link dev.kvshare.calibrate.capture.KvStatistics}), those become a {@link
 * dev.kvshare.calibrate.capture.DistanceMatrix}, a {@link dev.kvshare.calibrate.search.PairOrder}
 * ranks its pairs, and the search tests them in that order on the model. {@link
 * dev.kvshare.calibrate.Calibrator} is the entry point.
 *
 * <p>The method is KVSharer (arXiv 2410.18517, section 3 and algorithm 1). Deviations are listed
 * where they are made.
 */
package dev.kvshare.calibrate.search;
