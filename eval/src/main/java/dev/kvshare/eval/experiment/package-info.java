/** Experiments over many plans: start at {@link dev.kvshare.eval.experiment.Sweep}. */
package dev.kvshare.eval.experiment;
