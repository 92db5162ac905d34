/**
 * Texts for calibration and evaluation: read, named, and cut into passages of tokens.
 *
 * <p>A {@link dev.kvshare.datasets.TextSource} is loaded as a {@link dev.kvshare.datasets.Corpus},
 * from which {@link dev.kvshare.datasets.CalibrationSampler} and {@link
 * dev.kvshare.datasets.EvaluationPassages} take {@link dev.kvshare.datasets.Passages}. Start with
 * {@link dev.kvshare.datasets.Datasets}, which finds a text by what the user wrote.
 */
package dev.kvshare.datasets;
