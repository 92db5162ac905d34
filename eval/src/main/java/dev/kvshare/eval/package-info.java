/**
 * Measures policies: quality, recall, speed and memory, side by side. Start at {@link
 * dev.kvshare.eval.Evaluator}. The rooms build on each other: {@code format}, {@code quality},
 * {@code speed}, {@code tasks}, {@code recall}, then this one, then {@code experiment}; {@code
 * check} stands apart.
 */
package dev.kvshare.eval;
