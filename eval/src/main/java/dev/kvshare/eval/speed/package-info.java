/** Prefill and decoding speed: start at {@link dev.kvshare.eval.speed.SpeedMeter}. */
package dev.kvshare.eval.speed;
