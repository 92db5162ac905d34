/**
 * Scores: what every action of every layer would cost, from one pass of the unshared model forward
 * and backward. Start at {@link dev.kvshare.calibrate.score.Scoring}; {@link
 * dev.kvshare.calibrate.score.Scores} is what it gives.
 */
package dev.kvshare.calibrate.score;
