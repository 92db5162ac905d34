/** Perplexity, speed, memory and reports. */
package dev.kvshare.eval;
