/**
 * Prefill and decoding speed: start at {@link dev.kvshare.eval.speed.SpeedMeter}; {@link
 * dev.kvshare.eval.speed.Measurements} answers benchmark scripts.
 */
package dev.kvshare.eval.speed;
