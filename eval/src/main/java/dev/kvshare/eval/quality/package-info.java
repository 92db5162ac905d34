/**
 * What a plan changes in the text that a model expects: start at {@link
 * dev.kvshare.eval.quality.QualityMeter}. A {@link dev.kvshare.eval.quality.Variant} is one way to
 * run the model.
 */
package dev.kvshare.eval.quality;
