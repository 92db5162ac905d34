/**
 * What a plan changes in the text that a model expects: start at {@link
 * dev.kvshare.eval.quality.QualityMeter}.
 */
package dev.kvshare.eval.quality;
