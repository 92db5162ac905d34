/**
 * Scores: what every action of every layer would cost, from one pass of the unshared model forward
 * and backward, and what a whole plan makes a model forget. Start at {@link
 * dev.kvshare.calibrate.score.Scoring}; {@link dev.kvshare.calibrate.score.Scores} is what it
 * gives. {@link dev.kvshare.calibrate.score.RecallMeter} asks a model under a plan for numbers that
 * {@link dev.kvshare.calibrate.score.RecallPassages} hid far back in long texts.
 */
package dev.kvshare.calibrate.score;
