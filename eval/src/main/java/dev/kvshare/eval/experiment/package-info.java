/**
 * Many plans side by side, kept in a folder so that a run that was killed goes on: start at {@link
 * dev.kvshare.eval.experiment.Experiment}; {@link dev.kvshare.eval.experiment.Trials} lists plans
 * to try.
 */
package dev.kvshare.eval.experiment;
