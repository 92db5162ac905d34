/**
 * Recall and long context: what a model finds again in a long text whose cache was reduced before
 * the question was known. Start at {@link dev.kvshare.eval.recall.RecallTask}.
 */
package dev.kvshare.eval.recall;
